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
from dataclasses import dataclass

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
    n = len(columns[0])
    if n == 0:
        return UNKNOWN
    stacked = np.stack(columns)
    mean = float(statistic(stacked.sum(axis=1), n))
    draws = np.concatenate([statistic(sums, n) for sums in _resampled_sums(stacked, resamples, seed)])
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(mean, float(low), float(high), n)


def _resampled_sums(stacked: Floats, resamples: int, seed: int) -> list[Floats]:
    """Return sums over resampled rows, blocks of shape (columns, some resamples)."""
    generator = np.random.default_rng(seed)
    n = stacked.shape[1]
    block = max(1, min(resamples, _BLOCK // n))
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    return [stacked[:, generator.integers(0, n, size=(size, n))].sum(axis=2) for size in sizes]
