"""The corpus of near misses: no wrong answer is ever right, and hardly a right one is wrong."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.near_misses import Case, corpus
from trainers.teaching.verifiers import Verdict, extract_answer
from trainers.teaching.verifiers.mathematics.decision import decide
from trainers.teaching.verifiers.mathematics.worker import judge


def judged(case: Case) -> bool:
    """Return whether a case is judged right, by what the verifier computes here and in its workers."""
    answer = extract_answer(case.solution)
    if answer is None:
        return False
    decided = decide(answer, case.truth, case.question)
    return decided.outcome == "correct" if isinstance(decided, Verdict) else judge(decided) == "correct"


def check(seed: int, rounds: int, *, at_least: int) -> None:
    cases = corpus(seed, rounds)
    assert len(cases) >= at_least
    faults = [(case, judged(case)) for case in cases]
    wrongly_right = [case for case, right in faults if right and not case.right]
    wrongly_wrong = [case for case, right in faults if case.right and not right]
    assert wrongly_right == []
    assert len(wrongly_wrong) <= 0.01 * sum(case.right for case in cases), Counter(
        (case.kind, case.way, case.solution, case.truth) for case in wrongly_wrong
    )


def test_no_near_miss_is_right():
    check(seed=0, rounds=8, at_least=2_000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_near_miss_is_right_at_length(seed):
    check(seed, rounds=25, at_least=6_000)
