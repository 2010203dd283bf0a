"""A lesson of a teacher in use, as far as a next teacher can learn from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

APPROVED_FROM = 0.5
"""The score from which a lesson counts as approved, where nobody reviewed it."""


@dataclass(frozen=True)
class UsedLesson:
    """One lesson, whoever recorded it; texts are as they stand in its file, and checked when they are read as rows.

    Args:
        id: under which feedback is given.
        conversation: what lessons of one conversation share.
        student: name of the student; empty where nobody says.
        question: what was asked.
        approach: what the student would have done.
        thinking: the teacher's own.
        teaching: what it told the student.
        ground_truth: the right answer, where it is known.
        failure: why the lesson is none to learn teaching from.
        score: how good it was, from 0 to 1; `None` where nobody says.
        approved: whether somebody found it good.
        transcript: what the student had done when the teacher spoke once more.
        second_thinking: what the teacher thought then.
        second_teaching: what it told the student then; empty where it spoke once.
    """

    id: str
    conversation: str
    student: str
    question: Any
    approach: Any
    thinking: Any
    teaching: Any
    ground_truth: Any = None
    failure: Any = None
    score: float | None = None
    approved: bool = False
    transcript: Any = ""
    second_thinking: Any = ""
    second_teaching: Any = None

    def scored(self, score: float) -> UsedLesson:
        """Return the lesson with somebody's word on it."""
        return replace(self, score=score, approved=score >= APPROVED_FROM)
