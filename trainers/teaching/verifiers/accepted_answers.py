"""Questions with several accepted answers: any of them makes a solution correct."""

from __future__ import annotations

from dataclasses import replace

from trainers.concurrency.calls import close
from trainers.teaching.lesson import Question
from trainers.teaching.verifiers.verdict import CORRECT, Verdict, Verifier

ACCEPTED_ANSWERS = "accepted_answers"
"""Where a question's `extra` holds all the answers that count as right, if there are several."""


def accepted_answers(question: Question) -> tuple[str, ...]:
    """Return every answer that makes a solution correct: the ground truth, and those listed besides it."""
    if question.ground_truth is None:
        return ()
    accepted = question.extra.get(ACCEPTED_ANSWERS)
    if not isinstance(accepted, list) or question.ground_truth not in accepted:
        return (question.ground_truth,)
    return tuple(map(str, accepted))


class AnyAcceptedAnswer:
    """A verifier that asks another one about each of a question's accepted answers, until one of them is correct.

    Args:
        verifier: compares a solution with one ground truth.
    """

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def verify(self, solution: str, question: Question) -> Verdict:
        """See `Verifier.verify`; unscorable if no answer is correct and one of them could not be judged."""
        accepted = accepted_answers(question)
        if len(accepted) < 2:
            return await self._verifier.verify(solution, question)
        verdicts = []
        for answer in accepted:
            verdicts.append(await self._verifier.verify(solution, replace(question, ground_truth=answer)))
            if verdicts[-1].correct:
                return CORRECT
        return next((verdict for verdict in verdicts if not verdict.scorable), verdicts[0])

    def extract(self, solution: str) -> str | None:
        """See `Verifier.extract`."""
        return self._verifier.extract(solution)

    async def aclose(self) -> None:
        """Close the other verifier."""
        await close(self._verifier)
