"""A lesson as JSON: the turns of an agent survive it, and lessons from before there were any are read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.support.lessons import group, lesson, solution
from trainers.generation.types import ToolCall, Turn
from trainers.teaching.lesson import Grade
from trainers.teaching.lesson_record import lesson_record, solution_from, solution_record
from trainers.teaching.metrics import teaching_metrics

CALL = ToolCall("calculator", {"expression": "6*7"}, "call00000")
TURNS = (
    Turn("assistant", "I multiply.", 12, (CALL,)),
    Turn("tool", "42", call=CALL),
    Turn("tool", "no such tool", call=ToolCall("oracle", {}), failed=True),
    Turn("assistant", "<solution>42</solution>", 5),
)


def written_and_read(record: object) -> object:
    return json.loads(json.dumps(record))


def test_turns_survive_being_written() -> None:
    acted = replace(solution(True, tokens=17), turns=TURNS, grade=Grade(0.75))
    assert solution_from(written_and_read(solution_record(acted))) == acted


def test_a_solution_in_one_turn_is_written_as_before_and_lines_of_earlier_versions_are_read() -> None:
    plain = solution(False)
    record = solution_record(plain)
    assert record.keys() == {"text", "tokens", "truncated", "correct", "answered", "cause"}
    assert solution_from(record) == plain


def test_a_lesson_holds_the_turns_of_its_taught_solution() -> None:
    taught = lesson([True], True)
    acted = replace(taught, taught=replace(solution(True), turns=TURNS))
    kept = lesson_record(acted)["taught"]["turns"]
    assert [turn["role"] for turn in kept] == ["assistant", "tool", "tool", "assistant"]
    assert kept[0]["calls"] == [{"name": "calculator", "arguments": {"expression": "6*7"}, "id": "call00000"}]
    assert (kept[2]["failed"], kept[3]["tokens"]) == (True, 5)


def test_turns_and_failed_calls_are_counted_where_there_are_any() -> None:
    quiet = lesson([True], True)
    assert not {"turns/taught", "turns/baseline", "tool_failure_rate"} & teaching_metrics([group(quiet)]).keys()
    acted = replace(quiet, taught=replace(solution(True), turns=TURNS))
    metrics = teaching_metrics([group(acted)])
    assert metrics["turns/taught"] == 2
    assert metrics["tool_failure_rate"] == pytest.approx(1 / 2)
