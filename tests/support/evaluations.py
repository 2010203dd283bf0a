"""Evaluations made by hand, for tests of what is computed from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.support.lessons import group, lesson
from trainers.evaluation.measures.quantities import Prices
from trainers.evaluation.measures.results import STUDENTS, Results
from trainers.evaluation.measures.solved_questions import Alone, Effort, Taught

EFFORT = Effort(seconds=2.0, prompt_tokens=1000, generated_tokens=500)


def evaluated(
    *questions: tuple[list[bool | None], list[bool | None]],
    length: int = 5,
    extra: dict[int, dict[str, Any]] | None = None,
) -> tuple[list[Alone], list[Taught]]:
    """One question per argument: the verdicts of its baselines, and of its taught solutions."""
    alone, taught = [], []
    for row, (baselines, solutions) in enumerate(questions):
        lessons = [lesson(baselines, verdict, length, member=i, row=row) for i, verdict in enumerate(solutions)]
        question = replace(lessons[0].prepared.question, extra=(extra or {}).get(row, {}))
        prepared = replace(lessons[0].prepared, question=question)
        shared = group(*(replace(each, prepared=prepared) for each in lessons))
        alone.append(Alone(prepared, EFFORT, Effort(1.0, 100, 10)))
        taught.append(Taught(shared, EFFORT))
    return alone, taught


def pooled(
    held_out: tuple[str, ...] = (),
    prices: Mapping[str, Prices] | None = None,
    **students: tuple[list[Alone], list[Taught]],
) -> Results:
    """Results of students with their own verdicts on the same questions, taught by one teacher, T."""
    alone: list[Alone] = []
    taught: list[Taught] = []
    for name, (solved, lessons) in students.items():
        alone += [replace(item, prepared=replace(item.prepared, student=name)) for item in solved]
        for item in lessons:
            prepared = replace(item.group.prepared, student=name)
            own = tuple(replace(lesson, prepared=prepared) for lesson in item.group.lessons)
            taught.append(replace(item, group=replace(item.group, prepared=prepared, lessons=own)))
    entries = {
        name: {"held_out": name in held_out, "price_per_million_tokens": (prices or {}).get(name)} for name in students
    }
    return Results(tuple(alone), {"T": tuple(taught)}, {STUDENTS: entries})
