"""Intervals for what an evaluation measures, by a bootstrap over questions: samples of one are not independent.

Percentile bootstrap (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). Rows are questions;
columns, where there are any, are samples of the same question; NaN marks what could not be scored and is left out.

Where every question agrees (no leak in 64 questions) all resamples do, and a bootstrap knows nothing about questions
not drawn. For quantities with `bounds` the interval then is Clopper and Pearson's (Biometrika 26, 1934): of questions
not drawn less than a share u = 1 - 0.025^(1/n) differs, else n alike would not have been seen, and they move the mean
by at most u times its distance from a bound. It takes all samples of a question as one, which errs to the wide side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

_RESAMPLES = 2000
_LEVEL = 0.95
# Resampled counts are drawn in blocks of about this many numbers, so that large data sets need little memory.
_BLOCK = 4_000_000

Floats = NDArray[np.float64]
Bounds = tuple[float, float]
SHARE: Bounds = (0.0, 1.0)
DIFFERENCE: Bounds = (-1.0, 1.0)
"""Bounds of a share, and of a difference of two shares."""


@dataclass(frozen=True)
class Estimate:
    """A mean (or difference, or ratio) with its interval, and the number of questions it rests on.

    With `n = 0` nothing is known: the numbers are NaN and it is shown as "n/a".
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def known(self) -> bool:
        """True where there is a number, False where the mean is NaN."""
        return not math.isnan(self.mean)

    def format(self, spec: str = ".3f", scale: float = 1.0) -> str:
        """Write for example `"71.2% [65.0%, 77.1%]"` with the spec `".1%"`; `scale` multiplies all three numbers."""
        if not self.known:
            return "n/a"
        mean, low, high = (format(value * scale, spec) for value in (self.mean, self.low, self.high))
        return f"{mean} [{low}, {high}]"

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the numbers for JSON, which has no NaN: unknown ones are `None`."""
        numbers = {"mean": self.mean, "low": self.low, "high": self.high}
        return {name: None if math.isnan(value) else value for name, value in numbers.items()} | {"n": self.n}


UNKNOWN = Estimate(math.nan, math.nan, math.nan, 0)


def bootstrap_mean(
    values: ArrayLike,
    *,
    bounds: Bounds | None = None,
    resamples: int = _RESAMPLES,
    level: float = _LEVEL,
    seed: int = 0,
) -> Estimate:
    """Return the mean over questions of `values`, shape (questions,) or (questions, samples).

    A question counts once, with the mean of its scorable samples; one without any is left out. `bounds` are the least
    and the greatest value possible, where there are such.
    """
    per_question = question_means(values)
    kept = per_question[~np.isnan(per_question)]
    estimate = _estimate((kept,), lambda sums, counts: sums[0] / counts, resamples, level, seed)
    return _unanimous(estimate, kept, bounds, level)


def bootstrap_difference(
    after: ArrayLike,
    before: ArrayLike,
    *,
    bounds: Bounds | None = None,
    resamples: int = _RESAMPLES,
    level: float = _LEVEL,
    seed: int = 0,
) -> Estimate:
    """Return the mean of `after` less mean of `before`, paired by question; questions that lack either are left out.

    Both have the shape (questions,) or (questions, samples), and the same number of questions in the same order.
    """
    after_means, before_means = question_means(after), question_means(before)
    _check_paired(after_means, before_means, "after", "before")
    return bootstrap_mean(after_means - before_means, bounds=bounds, resamples=resamples, level=level, seed=seed)


def bootstrap_ratio(
    numerator: ArrayLike,
    denominator: ArrayLike,
    *,
    bounds: Bounds | None = None,
    resamples: int = _RESAMPLES,
    level: float = _LEVEL,
    seed: int = 0,
) -> Estimate:
    """Return sum of `numerator` over sum of `denominator`, both summed within each question and resampled by question.

    For a conditional share such as P(taught 1 | base 0): `numerator = taught * (1 - base)`, `denominator = 1 - base`,
    shape (questions,) or (questions, samples). An element that is NaN in either is left out of both. `n` counts
    the questions with a part in the denominator. Unknown when the denominator is nothing.
    """
    above, below = _as_rows(numerator), _as_rows(denominator)
    if above.shape != below.shape:
        raise ValueError(f"numerator has shape {above.shape}, denominator {below.shape}: they must be equal")
    missing = np.isnan(above) | np.isnan(below)
    above_sums = np.where(missing, 0.0, above).sum(axis=1)
    below_sums = np.where(missing, 0.0, below).sum(axis=1)
    kept = below_sums != 0
    pairs = (above_sums[kept], below_sums[kept])
    estimate = _estimate(pairs, lambda sums, counts: sums[0] / sums[1], resamples, level, seed)
    return _unanimous(estimate, pairs[0] / pairs[1], bounds, level)


def bootstrap_mean_ratio(
    numerator: ArrayLike,
    denominator: ArrayLike,
    *,
    bounds: Bounds | None = None,
    resamples: int = _RESAMPLES,
    level: float = _LEVEL,
    seed: int = 0,
) -> Estimate:
    """Return the mean over students of each one's ratio: its numerators' sum over its denominators' sum.

    Both have the shape (questions, students). A question is drawn with what all students did on it, so that students
    may agree on questions as they like; the students themselves are those that they are. An element that is NaN in
    either is left out of both, and so is a student without a denominator. `n` counts questions with any part.
    """
    above, below = _present(np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64))
    kept = (below != 0).any(axis=1)
    above, below = above[kept], below[kept]
    students = below.shape[1]
    estimate = _estimate(
        (*above.T, *below.T), lambda sums, _: _mean_ratio(sums[:students], sums[students:]), resamples, level, seed
    )
    if estimate.n and bounds is not None and (widened := _each_unanimous(above, below, bounds, level)) is not None:
        return replace(estimate, low=widened[0], high=widened[1])
    return _unanimous(estimate, _mean_ratio(above.T, below.T), bounds, level)


def _each_unanimous(above: Floats, below: Floats, bounds: Bounds, level: float) -> tuple[float, float] | None:
    """Return the mean ends of the students' own intervals where for each of them all questions agree, else `None`."""
    ends = []
    for own_above, own_below in zip(above.T, below.T, strict=True):
        known = own_below != 0
        ratios = own_above[known] / own_below[known]
        if len(ratios) and not np.allclose(ratios, ratios[0]):
            return None
        if len(ratios):
            value = float(ratios[0])
            own = _unanimous(Estimate(value, value, value, len(ratios)), ratios, bounds, level)
            ends.append((own.low, own.high))
    low, high = np.mean(ends, axis=0)
    return float(low), float(high)


def bootstrap_mean_ratio_difference(
    first: tuple[Floats, Floats],
    second: tuple[Floats, Floats],
    *,
    bounds: Bounds | None = None,
    resamples: int = _RESAMPLES,
    level: float = _LEVEL,
    seed: int = 0,
) -> Estimate:
    """Return the first mean of ratios less the second, by question, each (numerator, denominator) as above.

    The two may be of different students; questions that have no part in one of them are left out of both, and with the
    same number of students so are single elements.
    """
    _check_paired(first[0], second[0], "the first mean", "the second")
    pairs = [_present(*pair) for pair in (first, second)]
    if pairs[0][0].shape == pairs[1][0].shape:
        both = (pairs[0][1] != 0) & (pairs[1][1] != 0)
        pairs = [(np.where(both, above, 0.0), np.where(both, below, 0.0)) for above, below in pairs]
    kept = np.logical_and(*((below != 0).any(axis=1) for _, below in pairs))
    columns = [column[kept].T for pair in pairs for column in pair]
    edges = np.cumsum([len(column) for column in columns])[:-1]

    def difference(sums: Floats, _: Floats | int) -> Floats:
        above, below, other_above, other_below = np.split(sums, edges)
        return _mean_ratio(above, below) - _mean_ratio(other_above, other_below)

    estimate = _estimate(tuple(row for column in columns for row in column), difference, resamples, level, seed)
    per_question = _mean_ratio(columns[0], columns[1]) - _mean_ratio(columns[2], columns[3])
    return _unanimous(estimate, per_question, bounds, level)


def _present(above: Floats, below: Floats) -> tuple[Floats, Floats]:
    """Return both as (questions, students), with nothing where either is missing.

    Raises:
        ValueError: when their shapes differ.
    """
    if above.shape != below.shape:
        raise ValueError(f"numerator has shape {above.shape}, denominator {below.shape}: they must be equal")
    missing = np.isnan(above) | np.isnan(below)
    shape = (len(above), -1) if above.size else (len(above), 0)
    return np.where(missing, 0.0, above).reshape(shape), np.where(missing, 0.0, below).reshape(shape)


def _mean_ratio(above: Floats, below: Floats) -> Floats:
    """Return the mean over the first axis of ratios, of those that have a denominator; NaN where none has."""
    known = below != 0
    ratios = np.divide(above, below, out=np.zeros_like(above), where=known)
    counts = known.sum(axis=0)
    return np.divide(ratios.sum(axis=0), counts, out=np.full(counts.shape, np.nan), where=counts > 0)


def bootstrap_ratio_difference(
    first: tuple[Floats, Floats],
    second: tuple[Floats, Floats],
    *,
    bounds: Bounds | None = None,
    resamples: int = _RESAMPLES,
    level: float = _LEVEL,
    seed: int = 0,
) -> Estimate:
    """Return the first ratio less the second, each (numerator, denominator) of shape (questions,), by question.

    Questions that have no part in either denominator are left out of both.
    """
    _check_paired(first[0], second[0], "the first ratio", "the second")
    columns = [np.where(np.isnan(column), 0.0, column) for column in (*first, *second)]
    kept = (columns[1] != 0) & (columns[3] != 0) & ~np.isnan(np.sum([*first, *second], axis=0))
    above, below, other_above, other_below = (column[kept] for column in columns)

    def difference(sums: Floats, _: Floats | int) -> Floats:
        return sums[0] / sums[1] - sums[2] / sums[3]

    estimate = _estimate((above, below, other_above, other_below), difference, resamples, level, seed)
    return _unanimous(estimate, above / below - other_above / other_below, bounds, level)


def _unanimous(estimate: Estimate, per_question: Floats, bounds: Bounds | None, level: float) -> Estimate:
    """Return the interval of a bounded quantity on which every question agrees; other estimates stay as they are."""
    if bounds is None or estimate.n == 0 or not np.allclose(per_question, per_question[0]):
        return estimate
    differing = 1 - ((1 - level) / 2) ** (1 / estimate.n)
    low, high = (estimate.mean + differing * (bound - estimate.mean) for bound in bounds)
    return Estimate(estimate.mean, low, high, estimate.n)


def _as_rows(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2):
        raise ValueError(f"values have shape {array.shape}, expected (questions,) or (questions, samples)")
    return array.reshape(len(array), -1) if array.size else array.reshape(len(array), 0)


def question_means(values: ArrayLike) -> Floats:
    """Return the mean of every question's scorable samples, shape (questions,); NaN for a question without any."""
    rows = _as_rows(values)
    present = ~np.isnan(rows)
    counts = present.sum(axis=1)
    sums = np.where(present, rows, 0.0).sum(axis=1)
    return np.divide(sums, counts, out=np.full(len(rows), np.nan), where=counts > 0)


def _check_paired(first: Floats, second: Floats, first_name: str, second_name: str) -> None:
    if len(first) != len(second):
        raise ValueError(
            f"{first_name} has {len(first)} questions, {second_name} {len(second)}: they must be the same questions"
        )


def _estimate(
    columns: Sequence[Floats],
    statistic: Callable[[Floats, Floats | int], Floats],
    resamples: int,
    level: float,
    seed: int,
) -> Estimate:
    """Evaluate `statistic` of the columns' sums on the data and on `resamples` resamplings of their rows."""
    n = len(columns[0]) if columns else 0
    if n == 0:
        return UNKNOWN
    stacked = np.stack(columns)
    mean = float(statistic(stacked.sum(axis=1), n))
    draws = np.concatenate([statistic(sums, n) for sums in _resampled_sums(stacked, resamples, seed)])
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(mean, float(low), float(high), n)


def _resampled_sums(stacked: Floats, resamples: int, seed: int) -> list[Floats]:
    """Return sums over resampled rows, blocks of shape (columns, some resamples)."""
    generator = np.random.default_rng(seed)
    n = stacked.shape[1]
    block = max(1, min(resamples, _BLOCK // n))
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    return [stacked[:, generator.integers(0, n, size=(size, n))].sum(axis=2) for size in sizes]
