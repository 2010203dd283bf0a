"""Judging answers: the table, and that nothing a model writes can stop, slow or fool the verifier's machinery."""

# ruff: noqa: RUF001 - patterns and tables are easier read in one line

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.support.answers import ASKED, RIGHT, SOLUTIONS, UNJUDGEABLE, UNSCORABLE, WRONG
from tests.support.shared_data import SHARED_DATA
from trainers.concurrency.calls import close
from trainers.generation.types import GenerationError
from trainers.teaching.lesson import Question
from trainers.teaching.verifiers import Verdict, Verifier, as_verifier, build_verifier, extract_answer
from trainers.teaching.verifiers.mathematics.decision import decide
from trainers.teaching.verifiers.mathematics.number_words import words_to_number
from trainers.teaching.verifiers.mathematics.numbers import equal_numbers, parse_plain_number
from trainers.teaching.verifiers.mathematics.verifier import MathVerifier
from trainers.teaching.verifiers.mathematics.worker import judge
from trainers.teaching.verifiers.mathematics.worker_pool import WorkerDiedError, WorkerPool

SLOW = r"\int_0^1 \frac{x^{37} \sin(x^{11} + 1)}{\ln(x + 2) + e^{x^7}} dx"
GSM8K = SHARED_DATA / "gsm8k" / "test.jsonl"


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    verifier = build_verifier("math", timeout_s=30, workers=1)
    yield verifier
    verifier.close()


def asked(truth: str | None, **extra: Any) -> Question:
    return Question(0, "", truth, extra)


def verdict_of(verifier: Verifier, solution: str, truth: str | None) -> Verdict:
    return asyncio.run(verifier.verify(solution, asked(truth)))


def in_tags(answer: str) -> str:
    return f"Some reasoning.\n<solution>{answer}</solution>"


# --- the table ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "truth"), RIGHT)
def test_right_answers(verifier, answer, truth):
    assert verdict_of(verifier, in_tags(answer), truth) == Verdict("correct")


@pytest.mark.parametrize(("answer", "truth"), WRONG)
def test_wrong_answers(verifier, answer, truth):
    assert verdict_of(verifier, in_tags(answer), truth) == Verdict("wrong")


@pytest.mark.parametrize(("solution", "truth", "outcome"), SOLUTIONS)
def test_solutions(verifier, solution, truth, outcome):
    assert verdict_of(verifier, solution, truth).outcome == outcome


@pytest.mark.parametrize(("answer", "truth", "cause"), UNSCORABLE)
def test_unscorable_answers(answer, truth, cause):
    verifier = build_verifier("math", timeout_s=1, workers=1)
    try:
        assert verdict_of(verifier, in_tags(answer), truth) == Verdict("unscorable", cause)
    finally:
        verifier.close()


@pytest.mark.parametrize(("answer", "truth", "question", "outcome"), ASKED)
def test_what_the_question_names(verifier, answer, truth, question, outcome):
    verdict = asyncio.run(verifier.verify(in_tags(answer), Question(0, question, truth)))
    assert verdict.outcome == outcome


@pytest.mark.parametrize(("answer", "truth"), UNJUDGEABLE)
def test_what_the_solver_made_unjudgeable_is_wrong_and_starts_no_process(answer, truth):
    assert decide(extract_answer(in_tags(answer)) or "", truth) == Verdict("wrong", "unjudgeable")


def test_the_table_is_large_enough():
    assert len(RIGHT) + len(WRONG) + len(SOLUTIONS) + len(UNSCORABLE) >= 150
    assert min(len(RIGHT), len(WRONG)) >= 60


def test_unscorable_is_neither_right_nor_wrong():
    assert Verdict("unscorable", "timeout").correct is None
    assert Verdict("wrong").correct is False
    assert Verdict("correct").correct is True


# --- finding the answer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"<solution>1</solution> \boxed{2} The answer is 3.", "3."),
        (r"The answer is 3. \boxed{2} <solution>1</solution>", "1"),
        (r"The answer is 3. \boxed{2}", "2"),
        ("The answer is 3.", "3."),
        ("The answer is 3. This answer is final.", "3"),
        ("The answer is 3\nThe answer:", "3"),
        ("<solution>1</solution><solution>2</solution>", "2"),
        ("<SOLUTION>\n 4 \n</SOLUTION>", "4"),
        ("<solution>1<solution>2</solution>", "2"),
        ("<solution>unfinished", None),
        (r"\boxed{unfinished", None),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed {7}", "7"),
        (r"<solution>so \boxed{9}</solution>", "9"),
        (r"\(\boxed{4}\) and \(\boxed{-7}\).", "4, -7"),
        (r"\[ \boxed{4} \quad \text{and} \quad \boxed{-7}. \]", "4, -7"),
        (r"\boxed{4} papers and \boxed{7} bins", "7"),
        (r"So, \\boxed{4} it is.", "4"),
        ("<solution>The final answer is 9</solution>", "9"),
        ("The answer:", None),
        ("-3.5", "-3.5"),
        ("", None),
        ("I could not solve it.", None),
    ],
)
def test_extraction_order(text, answer):
    assert extract_answer(text) == answer


def test_extraction_is_linear_in_hostile_text():
    started = time.process_time()
    for text in (
        "<solution>" * 20_000,
        r"\boxed{" * 20_000,
        "answer is " * 20_000,
        "{" * 100_000,
        "# answer:" * 20_000,
        "<think></think>" * 20_000,
        "“" * 50_000,
        "`a" * 50_000,
        r"\boxed{1}" * 20_000,
        "(A) is correct " * 20_000,
        "answer: " + ", (form" * 20_000 + " <solution>",
        "answer: 5" + " (form <solution>" * 9_000,
        "answer: 5" + " " * 50_000 + "<solution>",
    ):
        extract_answer(text)
    assert time.process_time() - started < 5


# --- the cheap path agrees with math-verify ------------------------------------------------------------------------


def _written(value: Fraction, generator: random.Random) -> str:
    forms = [f"{value.numerator}/{value.denominator}", rf"\frac{{{value.numerator}}}{{{value.denominator}}}"]
    if value.denominator == 1:
        forms += [str(value.numerator), f"{value.numerator}.0", f"{value.numerator:,}"]
    elif value.denominator in (2, 4, 5, 8, 10):
        forms += [str(float(value)), f"{float(value):.6f}"]
    return generator.choice(forms)


@pytest.mark.slow
def test_plain_numbers_are_judged_as_math_verify_judges_them():
    generator = random.Random(0)
    for _ in range(400):
        truth = Fraction(generator.randint(0, 3000), generator.choice([1, 1, 2, 3, 4, 5, 8, 10]))
        answer = (
            truth if generator.random() < 0.5 else truth + Fraction(generator.randint(-3, 3), generator.choice([1, 8]))
        )
        if answer < 0:
            continue
        texts = _written(answer, generator), _written(truth, generator)
        assert decide(*texts) == Verdict(judge([texts])), texts  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("twelve", 12), ("Forty-two", 42), ("one hundred and five", 105), ("two thousand three hundred", 2300),
        ("three quarters", Fraction(3, 4)), ("half", Fraction(1, 2)), ("zero", 0), ("one million", 10**6),
        ("two seven", None), ("twelvefold", None), ("apples", None),
    ],
)  # fmt: skip
def test_number_words(text, value):
    assert words_to_number(text) == value


def test_numbers_are_exact():
    def same(first: str, second: str) -> bool:
        a, b = parse_plain_number(first), parse_plain_number(second)
        assert a is not None
        assert b is not None
        return equal_numbers(a, b)

    assert not same("12345678.4", "12345678.5")
    assert not same("9007199254740993", "9007199254740992")
    assert not same("1e-7", "2e-7")
    assert same("1e-7", "0.0000001")
    assert parse_plain_number("1e999999") is None
    assert parse_plain_number("9" * 100) is None
    assert parse_plain_number("1/0") is None


# --- processes -----------------------------------------------------------------------------------------------------


def test_plain_answers_start_no_process():
    verifier = MathVerifier(workers=1)
    assert verdict_of(verifier, in_tags("18"), "18").correct
    assert not verifier._pool._all
    verifier.close()


def test_a_timeout_kills_its_worker_and_the_next_item_is_judged():
    verifier = MathVerifier(timeout_s=3, workers=1)
    try:
        assert verdict_of(verifier, in_tags(r"\sqrt{8}"), r"2\sqrt{2}").correct
        (first,) = verifier._pool._all
        assert verdict_of(verifier, in_tags(SLOW), "x") == Verdict("wrong", "unjudgeable")
        assert not Path(f"/proc/{first.pid}").exists()
        assert verdict_of(verifier, in_tags(r"\sqrt{8}"), r"2\sqrt{2}").correct
    finally:
        verifier.close()


def test_a_worker_that_dies_costs_one_item():
    verifier = MathVerifier(timeout_s=20, workers=1)
    try:
        assert verdict_of(verifier, in_tags("x+1"), "1+x").correct
        (worker,) = verifier._pool._all
        os.kill(worker.pid, 9)
        assert verdict_of(verifier, in_tags("x+2"), "2+x").cause == "worker_died"
        assert verdict_of(verifier, in_tags("x+2"), "2+x").correct
    finally:
        verifier.close()


def test_the_event_loop_runs_on_while_a_worker_is_busy():
    async def ticks_meanwhile() -> int:
        pending = asyncio.create_task(verifier.verify(in_tags(SLOW), asked("x")))
        ticks = 0
        while not pending.done():
            await asyncio.sleep(0.02)
            ticks += 1
        assert (await pending).cause == "unjudgeable"
        return ticks

    verifier = MathVerifier(timeout_s=3, workers=1)
    try:
        assert asyncio.run(ticks_meanwhile()) > 20
    finally:
        verifier.close()


@pytest.mark.slow
def test_many_hostile_answers_of_one_question_do_not_hold_the_others_up():
    async def seconds_until_judged() -> float:
        hostile = [asyncio.create_task(verifier.verify(in_tags(f"{SLOW} + {n}"), asked("x"))) for n in range(12)]
        await asyncio.sleep(0.1)
        started = time.perf_counter()
        assert (await verifier.verify(in_tags("y+x"), asked("x+y"))).correct
        waited = time.perf_counter() - started
        assert {(await one).cause for one in hostile} == {"unjudgeable"}
        assert time.perf_counter() - started < 12 * 2 * 3
        return waited

    verifier = MathVerifier(timeout_s=3, workers=2)
    try:
        asyncio.run(verifier.verify(in_tags("y+z"), asked("z+y")))
        assert asyncio.run(seconds_until_judged()) < 20
    finally:
        verifier.close()


def test_a_verifier_that_cannot_work_is_refused_when_it_is_made(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "math_verify" else name)
    with pytest.raises(ImportError, match="install math-verify"):
        MathVerifier()


def test_workers_that_do_not_start_are_not_started_again_and_again():
    pool = WorkerPool("trainers.no_such_module", workers=1, timeout_s=5)
    for _ in range(2):
        with pytest.raises(WorkerDiedError, match="exit status 1"):
            pool.ask_blocking([])
    with pytest.raises(WorkerDiedError, match="does not start"):
        pool.ask_blocking([])
    pool.close()


@pytest.mark.parametrize(
    ("answer", "truth", "correct"),
    [
        ("3,14", "3.14", True),
        ("3,14", "3,14", True),
        ("1.234,5", "1234.5", True),
        ("3,15", "3,14", False),
        ("1, 2", "1, 2", True),
        ("0.125", "0,125", True),
        ("0.125", "125", False),
    ],
)
def test_decimal_commas_where_they_are_asked_for(answer, truth, correct):
    verifier = build_verifier("math", decimal_comma=True)
    assert verdict_of(verifier, in_tags(answer), truth).correct is correct
    verifier.close()


def test_close_ends_all_processes_and_may_be_repeated():
    verifier = MathVerifier(workers=2)

    async def both() -> None:
        await asyncio.gather(*(verifier.verify(in_tags(f"{i}y+x"), asked(f"x+{i}y")) for i in range(2, 12)))

    asyncio.run(both())
    pids = [worker.pid for worker in verifier._pool._all]
    assert 1 <= len(pids) <= 2
    verifier.close()
    verifier.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_short_answers_at_more_than_300_verdicts_per_second():
    verifier = MathVerifier(workers=1)
    items = [(in_tags(f"${i:,}"), str(i if i % 2 else i + 1)) for i in range(3000)]

    async def judge_all() -> list[Verdict]:
        return await asyncio.gather(*(verifier.verify(text, asked(truth)) for text, truth in items))

    started = time.process_time()
    verdicts = asyncio.run(judge_all())
    assert sum(verdict.correct is True for verdict in verdicts) == 1500
    assert len(items) / (time.process_time() - started) > 300
    verifier.close()


@pytest.mark.skipif(not GSM8K.exists(), reason=f"{GSM8K} is not here")
def test_gsm8k_answers_as_models_write_them(verifier):
    truths = [json.loads(line)["answer"].rsplit("####", 1)[1].strip() for line in GSM8K.read_text().splitlines()]
    for form in ("{}", "${}", "{} dollars", r"\boxed{{{}}}", "The answer is {}.", "She has {} of them in the end."):
        for truth, other in itertools.pairwise(truths[:300]):
            answer = in_tags(form.format(truth))
            assert verdict_of(verifier, answer, truth).correct is True, (answer, truth)
            assert verdict_of(verifier, answer, other).correct is (truth == other), (answer, other)


# --- the other verifiers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("solution", "truth", "correct"),
    [
        ("<solution>Paris</solution>", "paris", True),
        ("<solution> New   York. </solution>", "New York", True),
        ("<solution>0.50</solution>", "0.5", False),
        (r"<solution>$\text{yes}$</solution>", "yes", True),
        ("<solution>(Paris)</solution>", "paris", True),
        ('<solution>"Paris"</solution>', "Paris", True),
        ("<solution>“Paris”</solution>", "Paris", True),
        ("<solution>Cafe\u0301</solution>", "Caf\u00e9", True),
        ("<solution>Ｐａｒｉｓ</solution>", "Paris", True),
        ("<solution>[London]</solution>", "Paris", False),
        ("no tags here, and no value", "no", False),
        ("<solution>x</solution>", None, None),
    ],
)
def test_exact(solution, truth, correct):
    assert verdict_of(build_verifier("exact"), solution, truth).correct is correct


def longer_than_two(solution, question):
    """A user's verifier."""
    if question.extra.get("broken"):
        raise KeyError("broken")
    return None if question.ground_truth is None else len(solution) > 2


async def never(solution, question):
    """A user's verifier that hangs."""
    await asyncio.sleep(60)


async def overworked(solution, question):
    """A judge whose API has given up."""
    raise GenerationError("too many requests", "http_429")


class Strict:
    """A user's verifier with a state, a way to read answers, and something to close."""

    account = "of the judge"

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.closed = False

    async def verify(self, solution, question):
        self.seen.append(question.text)
        return Verdict("correct") if self.extract(solution) == question.ground_truth else Verdict("wrong", "strict")

    def extract(self, solution):
        return solution.rpartition(">")[2] or None

    async def aclose(self) -> None:
        self.closed = True


def test_a_function_of_ones_own():
    verifier = as_verifier(longer_than_two)
    assert verdict_of(verifier, "abc", "x").correct is True
    assert verdict_of(verifier, "ab", "x").correct is False
    assert verdict_of(verifier, "ab", None) == Verdict("unscorable", "verifier_undecided")
    assert asyncio.run(verifier.verify("ab", asked("x", broken=True))) == Verdict("unscorable", "verifier_error")
    assert verdict_of(as_verifier(never, timeout_s=0.05), "ab", "x") == Verdict("unscorable", "timeout")
    assert verdict_of(as_verifier(overworked), "ab", "x") == Verdict("unscorable", "http_429")


def test_an_object_of_ones_own_sees_the_question_reads_answers_its_way_and_is_closed():
    strict = Strict()
    verifier = as_verifier(strict)
    assert asyncio.run(verifier.verify("so > 4", Question(0, "2 + 2?", " 4"))).correct
    assert verdict_of(verifier, "so > 5", " 4") == Verdict("wrong", "strict")
    assert strict.seen == ["2 + 2?", ""]
    assert (verifier.extract("a > b"), verifier.extract("a >")) == (" b", None)
    assert verifier.account == "of the judge"
    asyncio.run(close(verifier))
    assert strict.closed


def test_ours_are_taken_as_they_are():
    ours = build_verifier("exact")
    assert as_verifier(ours) is ours


def test_an_unknown_name_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="verifier='maths' is unknown: write math, exact, code, or"):
        build_verifier("maths")
