"""Lessons made by hand, for tests of what is computed from them."""

from __future__ import annotations

from trainers.generation.types import Completion, SampledCompletion
from trainers.teaching.lesson import Approach, Group, Lesson, Prepared, Question, Solution


def solution(correct: bool | None, tokens: int = 10, truncated: bool = False) -> Solution:
    """A student's solution with a verdict."""
    return Solution(
        "text", tokens, truncated, correct, answered=not truncated, cause=None if correct is not None else "x"
    )


def lesson(
    baselines: list[bool | None],
    taught: bool | None,
    length: int = 5,
    *,
    reward: float | None = 1.0,
    teaching: str | None = "do it",
    leaked: bool = False,
    member: int = 0,
    row: int = 0,
) -> Lesson:
    """A lesson with verdicts and a length; `teaching=None` makes it a format failure."""
    prepared = Prepared(
        Question(row, f"q{row}", "4"), tuple(solution(b) for b in baselines), Approach("add", 4, False), None
    )
    sample = SampledCompletion((1, 2), Completion("c", (3, 4, 5), (-0.1, -0.2, -0.3), "stop"), 1)
    return Lesson(
        prepared=prepared,
        member=member,
        sample=sample,
        thinking="",
        teaching=teaching,
        teaching_length=length if teaching else 0,
        leaked=leaked,
        suspected_leak=False,
        taught=solution(taught, tokens=20) if teaching else None,
        reward=reward,
        failure=None,
    )


def group(*lessons: Lesson, dropped: str | None = None) -> Group:
    """A group of lessons that share the first one's question."""
    return Group(lessons[0].prepared, tuple(lessons), dropped)
