"""A page to read lessons by: one HTML file that needs no network, filters and searches thousands of lessons.

Texts of models are data here, never markup: they travel as JSON that cannot close its element, and are shown as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainers.evaluation.lesson_files import meeting
from trainers.evaluation.measures.quantities import baseline_accuracy
from trainers.evaluation.measures.solved_questions import Alone, Taught
from trainers.teaching.lesson import Lesson, Solution

TEMPLATE = Path(__file__).with_name("lesson_page.html")
MAX_CHARACTERS = 60_000_000
"""A page with more text would make browsers slow; what does not fit is counted on the page."""

_DATA = "/*DATA*/"


def write_lesson_page(path: Path, alone: Sequence[Alone], taught: Mapping[str, Sequence[Taught]], heading: str) -> None:
    """Write the page of the lessons, as many as a browser can hold: the first of every question before the second."""
    data = page_data(alone, taught, heading)
    path.write_text(TEMPLATE.read_text(encoding="utf-8").replace(_DATA, as_script_data(data), 1), encoding="utf-8")


def as_script_data(data: Any) -> str:
    """Return JSON that may stand in a script element: nothing in it can end the element or start a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def page_data(
    alone: Sequence[Alone],
    taught: Mapping[str, Sequence[Taught]],
    heading: str,
    max_characters: int = MAX_CHARACTERS,
) -> dict[str, Any]:
    """Collect the lessons to show, in about `max_characters` of JSON.

    They refer to `questions` by row, and by student and row to what was `solved` alone. The first lessons of all
    questions come before any second ones; `left_out` counts those that found no room.
    """
    found = {meeting(item.prepared): item for item in alone}
    lessons = [(name, lesson) for name, items in taught.items() for item in items for lesson in item.group.lessons]
    lessons.sort(key=lambda pair: pair[1].member)
    shown: list[dict[str, Any]] = []
    questions: dict[int, dict[str, Any]] = {}
    solved: dict[str, dict[str, Any]] = {}
    room = max_characters
    for name, lesson in lessons:
        where = meeting(lesson.prepared)
        row, record = where[1], _lesson(name, lesson)
        question = {} if row in questions else {row: _question(found[where])}
        own = {} if record["solved"] in solved else {record["solved"]: _solved(found[where])}
        room -= sum(len(json.dumps(each)) for each in (record, question, own))
        if room < 0 and shown:
            break
        shown.append(record)
        questions |= question
        solved |= own
    order = {row: index for index, row in enumerate(dict.fromkeys(row for _, row in found))}
    students = list(dict.fromkeys(student for student, _ in found))
    place = {student: index for index, student in enumerate(students)}
    shown.sort(key=lambda record: (order[record["row"]], place[record["student"]], record["member"]))
    return {
        "heading": heading,
        "teachers": list(taught),
        "students": students,
        "questions": questions,
        "solved": solved,
        "lessons": shown,
        "left_out": len(lessons) - len(shown),
    }


def marks(lesson: Lesson) -> list[str]:
    """Name the page's filters that a lesson meets. Improved and harmed are judged against most of the baselines."""
    base, correct = baseline_accuracy(lesson), lesson.taught_correct
    stages = [lesson.taught, *lesson.prepared.baselines, lesson.prepared.approach]
    cut = any(stage is not None and stage.truncated for stage in stages)
    found = {
        "improved": base is not None and correct is True and base < 0.5,
        "harmed": base is not None and correct is False and base >= 0.5,
        "leaked": lesson.leaked,
        "blind leak": lesson.blind is not None and lesson.blind.leaked is True,
        "truncated": cut or (lesson.sample is not None and lesson.sample.completion.truncated),
        "unscorable": base is None or correct is None,
        "malformed": lesson.format_failure,
        "forged": lesson.forged,
    }
    return [name for name, holds in found.items() if holds]


def _question(item: Alone) -> dict[str, Any]:
    prepared = item.prepared
    return {
        "text": prepared.question.text,
        "answer": prepared.question.ground_truth,
    }


def _solved(item: Alone) -> dict[str, Any]:
    prepared = item.prepared
    return {
        "approach": prepared.approach.text if prepared.approach else None,
        "baselines": [_solution(solution) for solution in prepared.baselines],
        "failure": prepared.failure,
    }


def _lesson(teacher: str, lesson: Lesson) -> dict[str, Any]:
    student, row = meeting(lesson.prepared)
    return {
        "teacher": teacher,
        "student": student,
        "row": row,
        "solved": f"{student}/{row}",
        "member": lesson.member,
        "marks": marks(lesson),
        "thinking": lesson.thinking,
        "teaching": lesson.teaching,
        "length": lesson.teaching_length,
        "completion": lesson.sample.completion.text if lesson.sample and lesson.format_failure else None,
        "blind": asdict(lesson.blind) if lesson.blind else None,
        "taught": _solution(lesson.taught) if lesson.taught else None,
        "reward": lesson.reward,
        "failure": lesson.failure,
    }


def _solution(solution: Solution) -> dict[str, Any]:
    return {
        "text": solution.text,
        "tokens": solution.tokens,
        "correct": solution.correct,
        "score": solution.grade.score if solution.grade else None,
        "truncated": solution.truncated,
        "cause": solution.cause,
    }
