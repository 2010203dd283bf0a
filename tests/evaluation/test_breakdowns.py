"""The parts of an evaluation: which questions and lessons are in which, what parts are called, and how they stand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.evaluations import evaluated
from trainers.confidence_intervals import DIFFERENCE, Estimate
from trainers.evaluation.measures.breakdowns import (
    MAX_LEVELS,
    gain_breakdowns,
    gain_measures,
    intervals,
    known_gains,
    largest,
)
from trainers.evaluation.measures.solved_questions import Taught

NAN = math.nan


def of_levels(*levels: Any, column: str = "level", gains: tuple[bool, ...] | None = None) -> list[Taught]:
    """Questions of these levels, wrong alone, of which those with a gain are solved when they are taught."""
    solved = gains or (True,) * len(levels)
    extra = {row: {column: level} for row, level in enumerate(levels)}
    return evaluated(*(([False], [right]) for right in solved), extra=extra)[1]


def of_lengths(*lengths: int) -> list[Taught]:
    """One question with a lesson of each length, every second of which is of use."""
    [item] = evaluated(([False], [bool(place % 2) for place in range(len(lengths))]))[1]
    lessons = tuple(
        replace(each, teaching_length=length) for each, length in zip(item.group.lessons, lengths, strict=True)
    )
    return [replace(item, group=replace(item.group, lessons=lessons))]


def means(taught: list[Taught], by: str, column: str | None = None) -> dict[str, float]:
    return {part: estimate.mean for part, estimate in gain_breakdowns(taught, column).get(by, {}).items()}


def test_questions_are_parted_by_what_the_student_solves_alone() -> None:
    taught = evaluated(
        ([False, False], [True]),
        ([True, False], [True]),
        ([True, True], [False]),
        ([False, None], [False]),
        ([None, None], [True]),
    )[1]
    assert means(taught, "baseline") == {"never": 0.5, "sometimes": 0.5, "always": -1.0}
    assert means(taught[:1], "baseline") == {"never": 1.0}
    assert [measure.bounds for measure in gain_measures(taught)["baseline"].values()] == [DIFFERENCE] * 3


def test_lessons_are_parted_by_lengths_that_double() -> None:
    found = means(of_lengths(1, 8, 9, 16, 17, 32, 33), "teaching_length")
    assert found == {"1 to 8 tokens": 0.5, "9 to 16 tokens": 0.5, "17 to 32 tokens": 0.5, "33 to 64 tokens": 0.0}
    # There is a first part also where all teachings are shorter than its longest.
    assert means(of_lengths(3), "teaching_length") == {"1 to 8 tokens": 0.0}
    assert list(gain_measures(of_lengths(3))["teaching_length"]) == ["1 to 8 tokens"]
    assert list(gain_measures(of_lengths(8))["teaching_length"]) == ["1 to 8 tokens"]
    assert list(gain_measures(of_lengths(9))["teaching_length"])[-1] == "9 to 16 tokens"
    assert [measure.bounds for measure in gain_measures(of_lengths(9))["teaching_length"].values()] == [DIFFERENCE] * 2


def test_parts_of_lengths_are_there_without_any_teaching() -> None:
    [item] = evaluated(([False], [True]))[1]
    bare = replace(item, group=replace(item.group, lessons=()))
    assert list(gain_measures([bare])["teaching_length"]) == ["1 to 8 tokens"]
    assert gain_breakdowns([bare]) == {}


def test_levels_are_those_of_the_column_that_is_named() -> None:
    taught = of_levels("easy", "hard", "easy", gains=(True, False, False))
    named = [
        replace(item, group=replace(item.group, prepared=replace(item.group.prepared, question=replace(
            item.group.prepared.question, extra={**item.group.prepared.question.extra, "topic": f"t{row % 2}"}
        ))))
        for row, item in enumerate(taught)
    ]  # fmt: skip
    assert means(named, "level") == {"easy": 0.5, "hard": 0.0}
    assert means(named, "level", "topic") == {"t0": 0.5, "t1": 0.0}
    assert gain_breakdowns(named, "topic")["level"] == known_gains(gain_measures(named, "topic"))["level"]
    assert means(named, "level", "absent") == {}
    bounds = [measure.bounds for measure in gain_measures(named)["level"].values()]
    assert bounds == [DIFFERENCE] * 2


@pytest.mark.parametrize("column", ["level", "difficulty", "subset", "kind"])
def test_columns_that_are_taken_for_levels(column: str) -> None:
    assert means(of_levels("a", "b", column=column), "level") == {"a": 1.0, "b": 1.0}
    assert means(of_levels("a", "b", column="colour"), "level") == {}


def test_what_has_no_level_is_in_no_part() -> None:
    taught = of_levels("a", None, NAN, "a", 3, True, gains=(True, True, True, False, True, False))
    assert means(taught, "level") == {"3": 1.0, "a": 0.5, "True": 0.0}


def test_there_are_as_many_levels_as_one_can_read() -> None:
    few, many = ([f"level {number}" for number in range(count)] for count in (MAX_LEVELS, MAX_LEVELS + 1))
    assert list(means(of_levels(*few), "level")) == few
    assert means(of_levels(*many), "level") == {}


def test_numbers_of_too_many_values_are_quarters_and_texts_among_them_are_not() -> None:
    numbers = [number / 2 for number in range(28)]
    quarters = ["0 to 3", "3.5 to 6.5", "7 to 10", "10.5 to 13.5"]
    assert list(means(of_levels(*numbers), "level")) == quarters
    gains = tuple(number < 7 for number in range(29))
    assert means(of_levels(*numbers, None, gains=gains), "level") == dict(zip(quarters, (1, 0, 0, 0), strict=True))
    assert means(of_levels(*numbers, "x"), "level") == {}
    assert means(of_levels(*numbers, True), "level") == {}
    assert list(means(of_levels(*numbers[:24]), "level"))[:3] == ["0.0", "0.5", "1.0"]


@pytest.mark.parametrize(
    "ordered",
    [
        ["level 2", "level 10"],
        ["-3", "-1", "2"],
        ["0.5", "1e-0", "1.5", "2e3"],
        ["a-2", "a-10"],
        ["A", "a"],
        ["part 1, 9", "part 1, 10", "part 2, 1"],
        ["3 to 9", "10 to 20"],
    ],
)
def test_levels_stand_in_the_order_of_their_numbers(ordered: list[str]) -> None:
    assert list(means(of_levels(*reversed(ordered)), "level")) == ordered


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([5], [(5, 5)]),
        ([1, 2, 3, 4, 5, 6, 7, 8], [(1, 2), (3, 4), (5, 6), (7, 8)]),
        ([1, 1, 1, 1, 1, 1, 2, 9], [(1, 1), (2, 9)]),
        ([3, 1, 2], [(1, 1), (2, 2), (3, 3)]),
    ],
)
def test_intervals_have_about_as_many_values_each(values: list[float], expected: list[tuple[float, float]]) -> None:
    assert intervals(np.array(values, dtype=np.float64)) == expected


def test_the_largest_gain_names_its_part() -> None:
    gains = {name: Estimate(mean, 0.0, 0.0, 3) for name, mean in (("a", -0.5), ("b", 0.25), ("c", 0.0))}
    assert largest(gains) == "b"
    assert largest({}) is None
