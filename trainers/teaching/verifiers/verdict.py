"""The judgement of one solution, and what it takes to be a verifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from trainers.teaching.lesson import Grade, Question, Solution


@dataclass(frozen=True)
class Verdict:
    """The judgement of a solution: correct, wrong, or that nobody can tell.

    An unscorable solution is one that could not be judged for reasons the solver is not to blame for (no ground
    truth, the verifier ran out of time, …): it is left out of every mean, never counted as wrong. `cause` is a short
    label to count by; a wrong verdict has one only when no answer was found (`no_answer`), the answer was such that it
    cannot be judged (`unjudgeable`), or code failed (`tests_failed`, `time_limit`, …). `grade` is what judges gave; the
    outcome is then whether it passes.
    """

    outcome: Literal["correct", "wrong", "unscorable"]
    cause: str | None = None
    grade: Grade | None = None

    @property
    def scorable(self) -> bool:
        """True when the solution could be judged at all."""
        return self.outcome != "unscorable"

    @property
    def correct(self) -> bool | None:
        """True or False, or `None` for an unscorable solution."""
        return self.outcome == "correct" if self.scorable else None


CORRECT = Verdict("correct")
WRONG = Verdict("wrong")
NO_ANSWER = Verdict("wrong", "no_answer")
NO_GROUND_TRUTH = Verdict("unscorable", "no_ground_truth")
UNJUDGEABLE = Verdict("wrong", "unjudgeable")
TIMED_OUT = Verdict("unscorable", "timeout")

OWN_PASS_SCORE = 0.5
"""Score of an agent's own environment from which a solution is correct."""


def own_verdict(score: float) -> Verdict:
    """Return the verdict of an agent's own environment, which scored the solution in [0, 1]."""
    return Verdict("correct" if score >= OWN_PASS_SCORE else "wrong", grade=Grade(score))


class Verifier(Protocol):
    """Judges solutions. Never blocks the event loop and is bound to none.

    Whoever uses one closes it with `trainers.concurrency.calls.close`: by its `aclose`, or else its `close`.
    """

    async def verify(self, solution: str, question: Question) -> Verdict:
        """Judge one solution against the question's ground truth, or whatever else its row carries in `extra`.

        To judge many, start many: `asyncio.gather(*(verifier.verify(…) for …))`.
        """
        ...

    def extract(self, solution: str) -> str | None:
        """Return the answer that would be judged, or `None` when the text contains none."""
        ...


@runtime_checkable
class Comparing(Protocol):
    """A verifier that judges a taught solution beside the baselines, and so waits for these."""

    async def compare(self, solution: str, others: Sequence[Solution], question: Question) -> Verdict:
        """Judge one solution beside others, which have been judged."""
        ...


@runtime_checkable
class Revealing(Protocol):
    """A verifier that can tell that a teaching contains a right answer, where there is none to look for by its words.

    A method `reveals` makes a verifier one, also a verifier of a user's own.
    """

    async def reveals(self, teaching: str, question: Question) -> bool:
        """Return True when the teaching contains an answer that is judged right."""
        ...
