"""Files of an evaluation, written question by question, so that it can be read, continued and compared.

`student_alone.jsonl` has one object per student and question: baselines and approach. `lessons.jsonl` has one per
lesson, which refers to the former by `student` and `row`. All lines of a question are appended at once; a line that was
cut off when the evaluation died is left out when it is read.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainers.evaluation.measures.solved_questions import Alone, Effort, Taught
from trainers.generation.types import Completion, SampledCompletion
from trainers.jsonl import as_lines
from trainers.teaching.lesson import (
    THE_STUDENT,
    Approach,
    BlindCheck,
    Group,
    Lesson,
    Prepared,
    Question,
    cause_of,
)
from trainers.teaching.lesson_record import FORMAT, check_format, lesson_record, solution_from, solution_record

STUDENT_ALONE = "student_alone.jsonl"
LESSONS = "lessons.jsonl"
SUMMARY = "summary.json"
Meeting = tuple[str, int]
"""A student's name, and the row of a question that it was asked."""
LASTING = ("context", "content_filter")
"""Causes of failure that come again whenever the same is asked."""


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON-lines file, none when there is no file; a last line that was cut off is left out.

    Raises:
        ValueError: when another line is no JSON.
    """
    if not path.is_file():
        return []
    with path.open("rb") as file:
        lines = file.readlines()
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line.decode("utf-8")))
        except ValueError as error:  # a line may have been cut off within a character
            if number < len(lines):
                raise ValueError(f"{path}, line {number}: {error}") from error
    return rows


def rewrite(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace a file, whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(as_lines(rows), encoding="utf-8")
    part.replace(path)


def meeting(prepared: Prepared) -> Meeting:
    """Return whose question it is."""
    return prepared.student, prepared.question.row


def alone_record(item: Alone) -> dict[str, Any]:
    """Return a question that the student solved alone, as a JSON object."""
    prepared = item.prepared
    return {
        "format": FORMAT,
        "student": prepared.student,
        "row": prepared.question.row,
        "question": prepared.question.text,
        "ground_truth": prepared.question.ground_truth,
        "extra": prepared.question.extra,
        "baselines": [solution_record(solution) for solution in prepared.baselines],
        "approach": asdict(prepared.approach) if prepared.approach else None,
        "failure": prepared.failure,
        "solving": asdict(item.solving),
        "probing": asdict(item.probing),
    }


def alone_from(record: Mapping[str, Any]) -> Alone:
    """Return the inverse of `alone_record`."""
    question = Question(record["row"], record["question"], record["ground_truth"], record["extra"])
    prepared = Prepared(
        question,
        tuple(map(solution_from, record["baselines"])),
        Approach(**record["approach"]) if record["approach"] else None,
        record["failure"],
        _student(record),
    )
    return Alone(prepared, Effort(**record["solving"]), Effort(**record["probing"]))


def taught_records(teacher: str, item: Taught) -> list[dict[str, Any]]:
    """Return the lessons of a question as JSON objects.

    What the question itself has stands in `student_alone.jsonl`.
    """
    return [
        lesson_record(lesson)
        | {"teacher": teacher, "lessons": len(item.group.lessons), "dropped": item.group.dropped}
        | {"teaching_effort": asdict(item.teaching)}
        for lesson in item.group.lessons
    ]


def taught_from(records: Sequence[Mapping[str, Any]], prepared: Prepared) -> Taught:
    """Return the inverse of `taught_records`, given what the question has."""
    first = records[0]
    lessons = tuple(lesson_from(record, prepared) for record in sorted(records, key=lambda each: each["member"]))
    return Taught(Group(prepared, lessons, first["dropped"]), Effort(**first["teaching_effort"]))


def _student(record: Mapping[str, Any]) -> str:
    """Return whose line it is; earlier evaluations had one student, and did not write its name to all of them."""
    return str(record.get("student", THE_STUDENT))


def lesson_from(record: Mapping[str, Any], prepared: Prepared) -> Lesson:
    """Return the lesson of an object that `lesson_record` made, given what the question has."""
    sample = None
    if record["completion"] is not None:
        reason = "length" if record["truncated"] else "stop"
        completion = Completion(record["completion"], (), None, reason, record["completion_tokens"])  # type: ignore[arg-type]
        sample = SampledCompletion((), completion, 0)
    return Lesson(
        prepared=prepared,
        member=record["member"],
        sample=sample,
        thinking=record["thinking"],
        teaching=record["teaching"],
        teaching_length=record["teaching_length"],
        leaked=record["leaked"],
        suspected_leak=record["suspected_leak"],
        taught=solution_from(record["taught"]) if record["taught"] else None,
        reward=record["reward"],
        failure=record["failure"],
        # Earlier evaluations did not look for these.
        forged=record.get("forged", False),
        blind=BlindCheck(**record["blind"]) if record.get("blind") else None,
    )


def read_alone(directory: Path) -> dict[Meeting, Alone]:
    """Return the questions of `student_alone.jsonl` by student and row; of one written twice the last counts."""
    path = directory / STUDENT_ALONE
    with _readable(path):
        return {(_student(record), record["row"]): alone_from(record) for record in _records(path)}


def read_taught(directory: Path, alone: Mapping[Meeting, Alone]) -> dict[str, dict[Meeting, Taught]]:
    """Return the complete groups of `lessons.jsonl`, by teacher and then by student and row."""
    path = directory / LESSONS
    groups: dict[tuple[str, Meeting], dict[int, dict[str, Any]]] = defaultdict(dict)
    found: dict[str, dict[Meeting, Taught]] = defaultdict(dict)
    with _readable(path):
        for record in _records(path):
            groups[record["teacher"], (_student(record), record["row"])][record["member"]] = record
        for (teacher, where), members in groups.items():
            records = list(members.values())
            if where in alone and len(records) == records[0]["lessons"]:
                found[teacher][where] = taught_from(records, alone[where].prepared)
    return dict(found)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file, all in a format that is known here."""
    for number, record in enumerate(read_lines(path), start=1):
        try:
            check_format(record)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        yield record


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what a file lacks into what is wrong with it."""
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: holds a line that is not an evaluation's ({error!r})") from error


def answered(item: Alone) -> bool:
    """Return True when the student answered, or failed for a reason that stays; else it is to be asked again."""
    failure = item.prepared.failure
    unscorable = bool(item.prepared.baselines) and (failure or "").startswith("baseline_")
    return failure is None or (unscorable and not _of_judge(failure)) or _stays(failure)


def held(item: Taught) -> bool:
    """Return True when all lessons were held, or failed for a reason that stays."""
    return not any(_may_pass(lesson.failure) or _check_may_pass(lesson.blind) for lesson in item.group.lessons)


def causes(item: Taught) -> Iterator[str]:
    """Yield why lessons of a question could not be held, judged, or checked for leaks."""
    for lesson in item.group.lessons:
        if lesson.failure:
            yield lesson.failure
        if lesson.blind is not None and lesson.blind.leaked is None:
            yield f"blind_{lesson.blind.cause}"


def _may_pass(failure: str | None) -> bool:
    passing = failure is not None and (failure.startswith(("teacher_", "taught_")) or _of_judge(failure))
    return passing and not _stays(failure or "")


def _of_judge(failure: str) -> bool:
    """Return whether a judge failed to give a verdict, which it may give another time."""
    return cause_of(failure).startswith("judge_")


def _check_may_pass(check: BlindCheck | None) -> bool:
    return check is not None and check.leaked is None and check.cause not in (*LASTING, "unscorable")


def _stays(failure: str) -> bool:
    return cause_of(failure) in LASTING


def keep(
    directory: Path,
    questions: Sequence[Question],
    teachers: Collection[str],
    usable_alone: Callable[[Alone], bool],
    usable_taught: Callable[[str, Taught], bool],
    students: Collection[str] = (THE_STUDENT,),
) -> tuple[dict[Meeting, Alone], dict[str, dict[Meeting, Taught]]]:
    """Return an earlier part's usable records of these questions, teachers and students, by student and row.

    The files are left with them, and with what is usable of those that are not asked for this time.
    """
    asked = {question.row: question for question in questions}
    alone = {
        where: item
        for where, item in read_alone(directory).items()
        if usable_alone(item) and (where[1] not in asked or _same(item.prepared.question, asked[where[1]]))
    }
    taught = {
        teacher: {where: item for where, item in groups.items() if usable_taught(teacher, item)}
        for teacher, groups in read_taught(directory, alone).items()
    }
    rewrite(directory / STUDENT_ALONE, map(alone_record, alone.values()))
    kept = (
        record
        for teacher, items in taught.items()
        for item in items.values()
        for record in taught_records(teacher, item)
    )
    rewrite(directory / LESSONS, kept)

    def wanted(where: Meeting) -> bool:
        return where[0] in students and where[1] in asked

    return (
        {where: item for where, item in alone.items() if wanted(where)},
        {name: {where: item for where, item in taught.get(name, {}).items() if wanted(where)} for name in teachers},
    )


def _same(first: Question, second: Question) -> bool:
    return (first.text, first.ground_truth) == (second.text, second.ground_truth)
