"""Lessons after a stage: solved, told once more, found to reveal the answer, or failed with a cause."""

from __future__ import annotations

from dataclasses import replace

from trainers.generation.types import GenerationError
from trainers.teaching.lesson import Group, Lesson, Midway, Prepared, Solution


class MidwayError(GenerationError):
    """The teacher could not be asked in the middle of a solution."""


def with_solution(draft: Lesson, solved: Solution | GenerationError) -> Lesson:
    """Return a lesson with the student's solution, or the cause of its failure."""
    if isinstance(solved, GenerationError):
        stage = "teacher" if isinstance(solved, MidwayError) else "taught"
        return replace(draft, failure=f"{stage}_{solved.cause}")
    failure = None if solved.correct is not None else f"verdict_{solved.cause}"
    return _told_twice(replace(draft, taught=solved, failure=failure), solved.midway)


def revealing(draft: Lesson, revealed: bool) -> Lesson:
    """Return a lesson that has leaked where its verifier found that it reveals the answer."""
    return replace(draft, leaked=True, suspected_leak=False) if revealed else draft


def failed_lesson(prepared: Prepared, member: int, cause: str) -> Lesson:
    """Return a lesson without a teaching."""
    return Lesson(prepared, member, None, "", None, 0, False, False, None, reward=None, failure=cause)


def failed_group(prepared: Prepared, cause: str, num_generations: int) -> Group:
    """Return a group that could not be taught."""
    lessons = tuple(failed_lesson(prepared, member, cause) for member in range(num_generations))
    return Group(prepared, lessons, cause)


def _told_twice(lesson: Lesson, midway: Midway | None) -> Lesson:
    """Return a lesson of which a second teaching is a part: its words are counted, and a leak in it is the lesson's."""
    if midway is None:
        return lesson
    return replace(
        lesson,
        teaching_length=lesson.teaching_length + midway.length,
        leaked=lesson.leaked or midway.leaked,
        suspected_leak=lesson.suspected_leak or midway.suspected_leak,
        forged=lesson.forged or midway.forged,
    )
