"""A page to read lessons by: one HTML file that needs no network, filters and searches thousands of lessons.

Texts of models are data here, never markup: they travel as JSON that cannot close its element, and are shown as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainers.evaluation.lesson_files import meeting
from trainers.evaluation.measures.quantities import baseline_accuracy
from trainers.evaluation.measures.solved_questions import Alone, Taught
from trainers.output.files import write_whole
from trainers.teaching.lesson import Lesson, Midway, Prepared, Solution
from trainers.teaching.lesson_record import turn_record

TEMPLATE = Path(__file__).with_name("lesson_page.html")
MAX_CHARACTERS = 60_000_000
"""A page with more text would make browsers slow; what does not fit is counted on the page."""

THE_TEACHER = "the teacher in training"
STAGES = {"probe": "approach", "baseline": "baseline", "teacher": "teaching", "taught": "taught"}
"""Stages of a lesson, by the beginnings of the causes of their failures."""

_DATA = "/*DATA*/"


def write_lesson_page(path: Path, alone: Sequence[Alone], taught: Mapping[str, Sequence[Taught]], heading: str) -> None:
    """Write the page of the lessons, as many as a browser can hold: the first of every question before the second."""
    write_page(path, page_data(alone, taught, heading))


def write_page(path: Path, data: Mapping[str, Any]) -> None:
    """Write the page that shows some data."""
    write_whole(path, TEMPLATE.read_text(encoding="utf-8").replace(_DATA, as_script_data(data), 1))


def as_script_data(data: Any) -> str:
    """Return JSON that may stand in a script element: nothing in it can end the element or start a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@dataclass(frozen=True)
class Shown:
    """A lesson to show: its teacher's name, its group's question, and the step of a training that it is of."""

    teacher: str
    lesson: Lesson
    prepared: Prepared
    step: int | None = None

    @property
    def solved(self) -> str:
        """The name of what the student did alone, which the lessons of a group share."""
        student, row = meeting(self.prepared)
        return f"{student}/{row}" if self.step is None else f"{student}/{row}/{self.step}"


def page_data(
    alone: Sequence[Alone],
    taught: Mapping[str, Sequence[Taught]],
    heading: str,
    max_characters: int = MAX_CHARACTERS,
) -> dict[str, Any]:
    """Collect the lessons of an evaluation, in about `max_characters` of JSON.

    The first lessons of all questions come before any second ones.
    """
    found = {meeting(item.prepared): item.prepared for item in alone}
    lessons = [
        Shown(name, lesson, found[meeting(lesson.prepared)])
        for name, items in taught.items()
        for item in items
        for lesson in item.group.lessons
    ]
    lessons.sort(key=lambda shown: shown.lesson.member)
    order = {row: index for index, row in enumerate(dict.fromkeys(row for _, row in found))}
    students = list(dict.fromkeys(student for student, _ in found))
    data = _collected(lessons, max_characters)
    place = {student: index for index, student in enumerate(students)}
    data["lessons"].sort(key=lambda record: (order[record["row"]], place[record["student"]], record["member"]))
    return {"heading": heading, "teachers": list(taught), "students": students, **data}


def training_page_data(
    lessons: Sequence[tuple[int, Lesson]], heading: str, max_characters: int = MAX_CHARACTERS
) -> dict[str, Any]:
    """Collect the lessons of a training, each with its step, the newest first: they find room before older ones."""
    shown = [Shown(THE_TEACHER, lesson, lesson.prepared, step) for step, lesson in lessons]
    shown.sort(key=lambda each: (-(each.step or 0), each.lesson.prepared.question.row, each.lesson.member))
    students = sorted({lesson.prepared.student for _, lesson in lessons})
    data = _collected(shown, max_characters)
    return {"heading": heading, "teachers": [THE_TEACHER], "students": students, **data}


def _collected(lessons: Sequence[Shown], max_characters: int) -> dict[str, Any]:
    """Return as many lessons as find room, in their order; `left_out` counts the others.

    They refer to `questions` by row, and by `solved` to what their student did alone.
    """
    shown: list[dict[str, Any]] = []
    questions: dict[int, dict[str, Any]] = {}
    solved: dict[str, dict[str, Any]] = {}
    room = max_characters
    for each in lessons:
        row, record = each.prepared.question.row, _lesson(each)
        question = {} if row in questions else {row: _question(each.prepared)}
        own = {} if each.solved in solved else {each.solved: _solved(each.prepared)}
        room -= sum(len(json.dumps(part)) for part in (record, question, own))
        if room < 0 and shown:
            break
        shown.append(record)
        questions |= question
        solved |= own
    return {"questions": questions, "solved": solved, "lessons": shown, "left_out": len(lessons) - len(shown)}


def end_of(lesson: Lesson) -> str:
    """Name the stage at which a lesson ended: `baseline`, `approach`, `teaching` or `taught`, else `reward`."""
    if lesson.format_failure or (lesson.prepared.unsolved and lesson.failure is None):
        return "teaching"
    if lesson.reward is not None:
        return "reward"
    if lesson.prepared.baselines and baseline_accuracy(lesson) is None:
        return "baseline"
    cause = lesson.failure or lesson.prepared.failure or ""
    return STAGES.get(cause.partition("_")[0], "taught")


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
        "unscorable": not lesson.prepared.unsolved and (base is None or correct is None),
        "malformed": lesson.format_failure,
        "forged": lesson.forged,
    }
    return [name for name, holds in found.items() if holds]


def _question(prepared: Prepared) -> dict[str, Any]:
    return {
        "text": prepared.question.text,
        "answer": prepared.question.ground_truth,
    }


def _solved(prepared: Prepared) -> dict[str, Any]:
    return {
        "approach": prepared.approach.text if prepared.approach else None,
        "baselines": [_solution(solution) for solution in prepared.baselines],
        "failure": prepared.failure,
    }


def _lesson(shown: Shown) -> dict[str, Any]:
    lesson = shown.lesson
    student, row = meeting(lesson.prepared)
    return {
        "teacher": shown.teacher,
        "student": student,
        "row": row,
        "solved": shown.solved,
        "step": shown.step,
        "member": lesson.member,
        "marks": marks(lesson),
        "stage": end_of(lesson),
        "thinking": lesson.thinking,
        "teaching": lesson.teaching,
        "length": lesson.teaching_length,
        "completion": lesson.sample.completion.text if lesson.sample and lesson.format_failure else None,
        "midway": _midway(lesson.midway) if lesson.midway else None,
        "blind": asdict(lesson.blind) if lesson.blind else None,
        "taught": _solution(lesson.taught) if lesson.taught else None,
        "reward": lesson.reward,
        "failure": lesson.failure,
    }


def _midway(midway: Midway) -> dict[str, Any]:
    return {"seen": midway.transcript, "thinking": midway.thinking, "teaching": midway.teaching}


def _solution(solution: Solution) -> dict[str, Any]:
    return {
        "text": solution.text,
        "tokens": solution.tokens,
        "correct": solution.correct,
        "score": solution.grade.score if solution.grade else None,
        "truncated": solution.truncated,
        "cause": solution.cause,
        "turns": [turn_record(turn) for turn in solution.turns],
    }
