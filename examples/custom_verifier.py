"""A verifier of your own: right is an answer within a tolerance of the row's, which a row may narrow or widen.

A verifier is called with a solution's text and the whole `Question`, whose `extra` holds the row's further columns. It
returns true or false, `None` where nobody can tell (such a solution is left out, never counted as wrong), or a
`Verdict` with a cause to count by. It may be a function or a class with a method `verify`, synchronous or not; a class
may also have `extract`, `close` or `aclose`, and an `account` where it asks a model that costs money. Choose it by its
dotted path:

    scripts/launch_with_server.sh 1 1 configs/run/quickstart_rl.yaml verifier=examples.custom_verifier.NearEnough \\
        verifier_args.tolerance=0.01 output_dir=results/quickstart/rl_near_enough
"""

from __future__ import annotations

import logging
from collections import Counter

from trainers.teaching.lesson import Question
from trainers.teaching.verifiers import CORRECT, NO_ANSWER, NO_GROUND_TRUTH, Verdict, extract_answer

logger = logging.getLogger(__name__)


class NearEnough:
    """Compares numbers.

    Args:
        tolerance: the relative difference up to which an answer is right, for rows without a `tolerance` of their own.
    """

    def __init__(self, tolerance: float = 0.0) -> None:
        self._tolerance = tolerance
        self._outcomes: Counter[str] = Counter()

    def verify(self, solution: str, question: Question) -> Verdict:
        """Judge one solution."""
        verdict = self._judged(solution, question)
        self._outcomes[verdict.outcome] += 1
        return verdict

    def close(self) -> None:
        """Say what was judged."""
        logger.info("verdicts: %s", dict(self._outcomes))

    def _judged(self, solution: str, question: Question) -> Verdict:
        if question.ground_truth is None:
            return NO_GROUND_TRUTH
        answer = extract_answer(solution)
        if answer is None:
            return NO_ANSWER
        try:
            given, right = float(answer), float(question.ground_truth)
        except ValueError:
            return Verdict("wrong", "no_number")
        allowed = float(question.extra.get("tolerance", self._tolerance))
        return CORRECT if abs(given - right) <= allowed * abs(right) else Verdict("wrong", "too_far")
