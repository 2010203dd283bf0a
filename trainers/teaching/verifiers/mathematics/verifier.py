"""The `math` and `exact` verifiers."""

from __future__ import annotations

from trainers.deadlines import VERDICT_S
from trainers.teaching.lesson import Question
from trainers.teaching.verifiers.extraction import extract_answer
from trainers.teaching.verifiers.mathematics.decision import decide
from trainers.teaching.verifiers.mathematics.notation import clean
from trainers.teaching.verifiers.mathematics.worker_pool import WorkerDiedError, WorkerPool, WorkerTimeoutError
from trainers.teaching.verifiers.verdict import CORRECT, NO_ANSWER, NO_GROUND_TRUTH, TIMED_OUT, WRONG, Verdict

_WORKER = "trainers.teaching.verifiers.mathematics.worker"


class MathVerifier:
    """Judges mathematical answers by value: numbers exactly and at once, everything else with math-verify.

    math-verify runs in worker processes, started when first needed and killed when an item exceeds `timeout_s`
    seconds; such an item is unscorable (`timeout`).
    """

    def __init__(self, *, timeout_s: float = VERDICT_S, workers: int = 2) -> None:
        self._pool = WorkerPool(_WORKER, workers=workers, timeout_s=timeout_s)

    async def verify(self, solution: str, question: Question) -> Verdict:
        """See `Verifier.verify`."""
        truth = question.ground_truth
        if truth is None or not truth.strip():
            return NO_GROUND_TRUTH
        answer = self.extract(solution)
        if answer is None:
            return NO_ANSWER
        decided = decide(answer, truth)
        return decided if isinstance(decided, Verdict) else await self._compare(decided)

    async def _compare(self, pairs: tuple[tuple[str, str], ...]) -> Verdict:
        try:
            outcome = await self._pool.ask(pairs)
        except WorkerTimeoutError:
            return TIMED_OUT
        except WorkerDiedError:
            return Verdict("unscorable", "worker_died")
        return {"correct": CORRECT, "wrong": WRONG}.get(outcome) or Verdict("unscorable", outcome)

    def extract(self, solution: str) -> str | None:
        """See `extract_answer`."""
        return extract_answer(solution)

    def close(self) -> None:
        """Stop the worker processes."""
        self._pool.close()


class ExactVerifier:
    """Judges an answer by its text, notation aside (case, spaces, LaTeX delimiters): for labels, names, yes and no."""

    async def verify(self, solution: str, question: Question) -> Verdict:
        """See `Verifier.verify`."""
        truth = question.ground_truth
        if truth is None or not truth.strip():
            return NO_GROUND_TRUTH
        answer = self.extract(solution)
        if answer is None:
            return NO_ANSWER
        return CORRECT if _bare(answer) == _bare(truth) else WRONG

    def extract(self, solution: str) -> str | None:
        """See `extract_answer`."""
        return extract_answer(solution)

    def close(self) -> None:
        """Nothing to stop."""


def _bare(text: str) -> str:
    return " ".join(clean(text).casefold().split())
