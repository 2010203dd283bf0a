"""Evaluations made by hand, for tests of what is computed from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.lessons import group, lesson
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
