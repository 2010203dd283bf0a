"""Where a teacher helps: accuracy gain by what the student can do alone, by length of the teaching, by level."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from trainers.confidence_intervals import DIFFERENCE, Estimate, Floats, question_means
from trainers.evaluation.measures.quantities import Measure, compared, mean_of, table, teaching_length
from trainers.evaluation.measures.solved_questions import Taught

BASELINE, LENGTH, LEVEL = "baseline", "teaching_length", "level"
LEVEL_COLUMNS = ("level", "difficulty", "subset", "kind")
"""Columns that are taken for levels when none is named."""
MAX_LEVELS = 24
PARTS = 4
SHORT = 8
"""The shortest part of teachings has up to so many tokens."""

_NUMBER = re.compile(r"((?:(?<!\S)-)?\d+(?:\.\d+)?(?:e[-+]?\d+)?)")


def gain_breakdowns(taught: Sequence[Taught], level_column: str | None = None) -> dict[str, dict[str, Estimate]]:
    """Return the accuracy gain by breakdown and part; parts stand in the order in which one reads them."""
    return known_gains(gain_measures(taught, level_column))


def known_gains(measures: Mapping[str, Mapping[str, Measure]]) -> dict[str, dict[str, Estimate]]:
    """Return gains with their intervals, without the parts of which nothing is known."""
    found = {by: {part: measure.estimate() for part, measure in parts.items()} for by, parts in measures.items()}
    known = {by: {part: e for part, e in parts.items() if e.known} for by, parts in found.items()}
    return {by: parts for by, parts in known.items() if parts}


def gain_measures(taught: Sequence[Taught], level_column: str | None = None) -> dict[str, dict[str, Measure]]:
    """Measure the accuracy gain by breakdown and part.

    `baseline` parts questions into those that the student never, sometimes and always solves alone, by the very
    baselines that the gain is taken from: chance puts some questions into `never` that it can solve, and makes the gain
    there look larger than it is. `teaching_length` parts lessons, not questions.
    """
    base, correct = compared(taught)
    gain = mean_of(correct - base, DIFFERENCE)
    return {
        BASELINE: {part: gain.where(chosen) for part, chosen in _by_baseline(base).items()},
        LENGTH: _by_length(taught, correct - base),
        LEVEL: {part: gain.where(chosen) for part, chosen in _by_level(taught, level_column).items()},
    }


def largest(gains: Mapping[str, Estimate]) -> str | None:
    """Return the part with the largest gain."""
    return max(gains, key=lambda part: gains[part].mean, default=None)


def _by_baseline(base: Floats) -> dict[str, np.ndarray]:
    accuracy = question_means(base)
    return {"never": accuracy == 0, "sometimes": (accuracy > 0) & (accuracy < 1), "always": accuracy == 1}


def _by_length(taught: Sequence[Taught], gain: Floats) -> dict[str, Measure]:
    """Return parts that double in length, so that all teachers have the same ones."""
    lengths = table([[teaching_length(lesson) for lesson in item.group.lessons] for item in taught])
    longest = max(float(np.nanmax(lengths, initial=0)), SHORT)
    edges = [0, *(SHORT * 2**i for i in range(math.ceil(math.log2(longest / SHORT)) + 1))]
    return {
        f"{low + 1} to {high} tokens": mean_of(np.where((lengths > low) & (lengths <= high), gain, np.nan), DIFFERENCE)
        for low, high in pairwise(edges)
    }


def _by_level(taught: Sequence[Taught], column: str | None) -> dict[str, np.ndarray]:
    rows = [item.group.prepared.question.extra for item in taught]
    column = column or next((name for name in LEVEL_COLUMNS if any(name in row for row in rows)), None)
    if column is None:
        return {}
    values = [row.get(column) for row in rows]
    labels = _labels([None if value != value else value for value in values])  # NaN is no level
    found = sorted({label for label in labels if label is not None}, key=_natural)
    if len(found) > MAX_LEVELS:
        return {}
    return {label: np.array([each == label for each in labels]) for label in found}


def _labels(values: Sequence[Any]) -> list[str | None]:
    """Return levels as text; of numbers with more values than there can be levels, the quarter a number falls into."""
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(set(numbers)) <= MAX_LEVELS or len(numbers) != sum(value is not None for value in values):
        return [None if value is None else str(value) for value in values]
    parts = intervals(np.array(numbers))
    return [
        None if value is None else next(f"{low:g} to {high:g}" for low, high in parts if low <= value <= high)
        for value in values
    ]


def _natural(label: str) -> list[tuple[float, str]]:
    """Return a key that sorts texts by the numbers in them: `level 2` before `level 10`, `3 to 9` before `10 to 20`."""
    parts = _NUMBER.split(label)
    return [(float(number), "") if index % 2 else (-math.inf, number) for index, number in enumerate(parts)]


def intervals(values: Floats) -> list[tuple[float, float]]:
    """Return up to four intervals with about as many of the values each; equal values share an interval."""
    if not len(values):
        return []
    ordered = np.unique(values)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, PARTS + 1)[1:], method="inverted_cdf"))
    starts = [ordered[0], *(ordered[np.searchsorted(ordered, edge, side="right")] for edge in edges[:-1])]
    return [(float(low), float(high)) for low, high in zip(starts, edges, strict=True)]
