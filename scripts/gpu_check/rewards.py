"""A reward for random models, whose lessons would all earn nothing, so that no step would train anything."""

from __future__ import annotations

from trainers.teaching.lesson import Lesson


def spread(lesson: Lesson) -> float | None:
    """Return a number that differs among the lessons of a group."""
    return None if lesson.sample is None else float(sum(lesson.sample.completion.token_ids) % 7)
