"""A lesson as a JSON object: the names under which training and evaluation alike write it down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from trainers.generation.types import ToolCall, Turn
from trainers.teaching.lesson import Grade, Lesson, Midway, Solution

FORMAT = 1
"""Of the objects below; to be raised when readers of the former one would misread or reject them."""


def check_format(record: Mapping[str, Any]) -> None:
    """Refuse what another version of ATLAS wrote in another format; objects that name none are of the first.

    Raises:
        ValueError: when it is.
    """
    found = record.get("format", 1)
    if found != FORMAT:
        raise ValueError(f"written in format {found!r} by another version of ATLAS, this one reads format {FORMAT}")


def solution_record(solution: Solution) -> dict[str, Any]:
    """Return a solution as an object; it has `grade` and `midway` only where there is one, and `turns` of an agent."""
    record = asdict(solution)
    del record["turns"]
    for name in ("grade", "midway"):
        if record[name] is None:
            del record[name]
    if solution.turns:
        record["turns"] = [turn_record(turn) for turn in solution.turns]
    return record


def turn_record(turn: Turn) -> dict[str, Any]:
    """Return a turn as an object: an assistant's with its calls, any other with the call that it answers, if any."""
    record: dict[str, Any] = {"role": turn.role, "text": turn.text}
    if turn.role == "assistant":
        return record | {"tokens": turn.tokens, "calls": [_call_record(call) for call in turn.calls]}
    return record | {"call": _call_record(turn.call) if turn.call else None, "failed": turn.failed}


def solution_from(record: Mapping[str, Any]) -> Solution:
    """Return the solution of an object that `solution_record` made."""
    grade, midway = record.get("grade"), record.get("midway")
    # Lessons of students without tools, and all of earlier versions, have no turns.
    turns = tuple(turn_from(turn) for turn in record.get("turns", ()))
    parts = {"grade": Grade(**grade) if grade else None, "midway": Midway(**midway) if midway else None}
    return Solution(**{**record, **parts, "turns": turns})


def turn_from(record: Mapping[str, Any]) -> Turn:
    """Return the turn of an object that `turn_record` made."""
    calls = tuple(ToolCall(**call) for call in record.get("calls", ()))
    call = record.get("call")
    return Turn(
        record["role"],
        record["text"],
        record.get("tokens", 0),
        calls,
        ToolCall(**call) if call else None,
        record.get("failed", False),
    )


def was_unsolved(record: Mapping[str, Any]) -> bool:
    """Return whether a training's record is of a question that its student was not to solve.

    It has no baselines, then, and what failed in it, if anything, came after them.
    """
    failed_before = (record.get("failure") or "").startswith(("baseline_", "probe_"))
    return not record.get("baselines") and not failed_before


def _call_record(call: ToolCall) -> dict[str, Any]:
    return {"name": call.name, "arguments": dict(call.arguments), "id": call.id}


def lesson_record(lesson: Lesson) -> dict[str, Any]:
    """Return all of a lesson but what its group shares (baselines) and what only training needs (token ids)."""
    prepared, sample = lesson.prepared, lesson.sample
    return {
        "format": FORMAT,
        "row": prepared.question.row,
        "member": lesson.member,
        "student": prepared.student,
        "question": prepared.question.text,
        "ground_truth": prepared.question.ground_truth,
        "approach": prepared.approach.text if prepared.approach else None,
        "thinking": lesson.thinking,
        "teaching": lesson.teaching,
        "teaching_length": lesson.teaching_length,
        "format_failure": lesson.format_failure,
        "forged": lesson.forged,
        "leaked": lesson.leaked,
        "suspected_leak": lesson.suspected_leak,
        "blind": asdict(lesson.blind) if lesson.blind else None,
        "taught": solution_record(lesson.taught) if lesson.taught else None,
        "reward": lesson.reward,
        "failure": lesson.failure,
        "completion": sample.completion.text if sample else None,
        "completion_tokens": sample.completion.tokens if sample else None,
        "truncated": sample.completion.truncated if sample else None,
    }
