"""The judgement of one solution, and what it takes to be a verifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class Verdict:
    """The judgement of a solution: correct, wrong, or that nobody can tell.

    An unscorable solution is one that could not be judged for reasons the solver is not to blame for (no ground
    truth, the verifier ran out of time, …): it is left out of every mean, never counted as wrong. `cause` is a short
    label to count by; a wrong verdict has one only when no answer was found (`no_answer`) or code failed
    (`tests_failed`, `time_limit`, …).
    """

    outcome: Literal["correct", "wrong", "unscorable"]
    cause: str | None = None

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
TIMED_OUT = Verdict("unscorable", "timeout")


class Verifier(Protocol):
    """Judges solutions. Never blocks the event loop and is bound to none."""

    async def verify(self, solution_text: str, ground_truth: str | None, extra: Mapping[str, Any]) -> Verdict:
        """Judge one solution against the row's ground truth; `extra` holds the row's other columns.

        To judge many, start many: `asyncio.gather(*(verifier.verify(…) for …))`.
        """
        ...

    def extract(self, solution_text: str) -> str | None:
        """The answer that would be judged, or `None` when the text contains none."""
        ...

    def close(self) -> None:
        """Stop whatever processes the verifier runs. May be called twice."""
        ...
