"""Intervals over questions: hand values, exclusions, and that 95% intervals cover the truth about 95% of the time."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from trainers.confidence_intervals import (
    DIFFERENCE,
    SHARE,
    UNKNOWN,
    Estimate,
    bootstrap_difference,
    bootstrap_mean,
    bootstrap_mean_ratio,
    bootstrap_mean_ratio_difference,
    bootstrap_ratio,
    bootstrap_ratio_difference,
)

NAN = math.nan


def test_mean_weighs_questions_equally_whatever_number_of_samples_was_scorable():
    estimate = bootstrap_mean([[1, 1, 1, 1], [0, NAN, NAN, NAN]])
    assert estimate.mean == 0.5
    assert estimate.n == 2
    assert (estimate.low, estimate.high) == (0.0, 1.0)


def test_unscorable_questions_are_left_out_not_counted_as_zero():
    assert bootstrap_mean([1, 1, NAN]).mean == 1.0
    assert bootstrap_mean([1, 1, NAN]).n == 2


@pytest.mark.parametrize("values", [[], [NAN], [[NAN, NAN]], np.empty((0, 4))])
def test_nothing_scorable_is_unknown(values):
    estimate = bootstrap_mean(values)
    assert (estimate.n, estimate.known) == (0, False)
    assert estimate.format(".1%") == "n/a"
    assert json.loads(json.dumps(estimate.as_dict(), allow_nan=False)) == {
        "mean": None, "low": None, "high": None, "n": 0,
    }  # fmt: skip


def test_format_and_dictionary():
    estimate = Estimate(0.7125, 0.65, 0.771, 64)
    assert estimate.format(".1%") == "71.2% [65.0%, 77.1%]"
    assert estimate.format("+.1f", scale=100) == "+71.2 [+65.0, +77.1]"
    assert estimate.as_dict() == {"mean": 0.7125, "low": 0.65, "high": 0.771, "n": 64}


def test_paired_difference_is_narrower_than_its_parts():
    generator = np.random.default_rng(0)
    difficulty = generator.uniform(size=200)
    before = difficulty * 0.8
    after = before + 0.1 + 0.01 * generator.standard_normal(200)
    difference = bootstrap_difference(after, before)
    assert difference.mean == pytest.approx(float(np.mean(after - before)))
    width = difference.high - difference.low
    assert width < 0.1 * (bootstrap_mean(after).high - bootstrap_mean(after).low)


def test_difference_leaves_out_questions_that_lack_either_side():
    estimate = bootstrap_difference([[1, 1], [NAN, NAN], [1, NAN]], [[0, 1], [1, 1], [NAN, NAN]])
    assert (estimate.mean, estimate.n) == (0.5, 1)


def test_fix_rate_by_hand():
    base = np.array([[0, 1], [0, 0], [1, 1], [0, NAN]])
    taught = np.array([[1, 1], [0, 1], [1, 0], [NAN, 1]])
    # Wrong alone: one sample of question 0 (fixed), two of question 1 (one fixed); question 3's is unscorable.
    fix_rate = bootstrap_ratio(taught * (1 - base), 1 - base)
    assert fix_rate.mean == pytest.approx(2 / 3)
    assert fix_rate.n == 2
    assert (fix_rate.low, fix_rate.high) == (0.5, 1.0)


def test_ratio_with_nothing_below_is_unknown():
    assert bootstrap_ratio([0.0, 0.0], [0.0, 0.0]) is UNKNOWN


def test_same_seed_same_interval_and_blocks_change_nothing(monkeypatch):
    values = np.random.default_rng(1).uniform(size=50)
    once = bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) == once
    assert bootstrap_mean(values, seed=4) != once
    monkeypatch.setattr("trainers.confidence_intervals._BLOCK", 50 * 7)
    in_blocks = bootstrap_mean(values, seed=3)
    assert in_blocks.low == pytest.approx(once.low)
    assert in_blocks.high == pytest.approx(once.high)


def pair(values):
    """A numerator and its denominator."""
    return values, 1 + values


ESTIMATES = {
    "mean": lambda values, **how: bootstrap_mean(values, **how),
    "difference": lambda values, **how: bootstrap_difference(values, values**2, **how),
    "ratio": lambda values, **how: bootstrap_ratio(*pair(values), **how),
    "difference of ratios": lambda values, **how: bootstrap_ratio_difference(
        pair(values[:, 0]), pair(values[:, 0] ** 2), **how
    ),
    "mean of ratios": lambda values, **how: bootstrap_mean_ratio(*pair(values), **how),
    "difference of means of ratios": lambda values, **how: bootstrap_mean_ratio_difference(
        pair(values), pair(values**2), **how
    ),
}


@pytest.mark.parametrize("estimate", ESTIMATES.values(), ids=ESTIMATES)
def test_an_interval_is_of_its_level_its_seed_and_its_resamples(estimate):
    values = np.random.default_rng(2).uniform(size=(30, 2))
    usual = estimate(values)
    assert usual == estimate(values, seed=0, level=0.95, resamples=2000)
    assert usual.n == 30
    half = estimate(values, level=0.5)
    assert usual.low < half.low < half.mean < half.high < usual.high
    assert estimate(values, seed=1) != usual
    once = estimate(values, resamples=1)
    assert once.low == once.high != usual.mean == once.mean


@pytest.mark.parametrize("level", [0.95, 0.5])
@pytest.mark.parametrize("estimate", ESTIMATES.values(), ids=ESTIMATES)
def test_where_all_questions_agree_each_interval_reaches_for_its_bounds(estimate, level):
    same = np.full((30, 2), 0.5)
    found = estimate(same, bounds=(-2.0, 3.0), level=level)
    unseen = 1 - ((1 - level) / 2) ** (1 / 30)
    assert found.low == pytest.approx(found.mean + unseen * (-2 - found.mean))
    assert found.high == pytest.approx(found.mean + unseen * (3 - found.mean))
    without = estimate(same, level=level)
    assert without.low == pytest.approx(without.mean) == pytest.approx(without.high)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean", 0.5), ("difference", 0.25), ("ratio", 1 / 3), ("mean of ratios", 1 / 3),
        ("difference of ratios", 1 / 3 - 1 / 5), ("difference of means of ratios", 1 / 3 - 1 / 5),
    ],
)  # fmt: skip
def test_the_mean_of_values_that_are_all_one_half(name, expected):
    assert ESTIMATES[name](np.full((3, 2), 0.5)).mean == pytest.approx(expected)


def test_unequal_questions_are_refused():
    with pytest.raises(ValueError, match="after has 2 questions, before 3"):
        bootstrap_difference([1, 0], [1, 0, 1])
    with pytest.raises(ValueError, match="must be equal"):
        bootstrap_ratio([1, 0], [1, 0, 1])
    with pytest.raises(ValueError, match="must be equal"):
        bootstrap_mean_ratio(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="the first ratio has 2 questions, the second 3"):
        bootstrap_ratio_difference(pair(np.ones(2)), pair(np.ones(3)))
    with pytest.raises(ValueError, match="the first ratio has 2 questions, the second 3"):
        bootstrap_ratio_difference(pair(np.ones(2)), (np.ones(3), np.ones(2)))
    with pytest.raises(ValueError, match="the first mean has 2 questions, the second 3"):
        bootstrap_mean_ratio_difference(pair(np.ones(2)), (np.ones(3), np.ones(2)))
    with pytest.raises(ValueError, match=r"expected \(questions,\)"):
        bootstrap_mean(np.zeros((2, 2, 2)))


def _coverage(truth: float, estimates: list[Estimate]) -> float:
    return float(np.mean([estimate.low <= truth <= estimate.high for estimate in estimates]))


def test_mean_covers_the_truth_with_correlated_samples():
    """Questions differ in difficulty (Beta(2, 2), mean 0.5), 4 samples each: resampling samples would be too narrow."""
    generator = np.random.default_rng(7)
    estimates, narrow = [], []
    for run in range(400):
        difficulty = generator.beta(2, 2, size=80)
        values = generator.binomial(1, difficulty[:, None], size=(80, 4))
        estimates.append(bootstrap_mean(values, resamples=400, seed=run))
        narrow.append(bootstrap_mean(values.ravel(), resamples=400, seed=run))
    assert 0.92 <= _coverage(0.5, estimates) <= 0.97
    assert _coverage(0.5, narrow) < 0.92


def test_ratio_covers_the_truth():
    """Student right with 0.6 per question on average, a wrong one fixed with 0.3."""
    generator = np.random.default_rng(8)
    estimates = []
    for run in range(400):
        base = generator.binomial(1, generator.beta(3, 2, size=100))
        taught = np.where(base == 1, 1, generator.binomial(1, 0.3, size=100))
        estimates.append(bootstrap_ratio(taught * (1 - base), 1 - base, resamples=400, seed=run))
    assert 0.91 <= _coverage(0.3, estimates) <= 0.975


def test_where_all_questions_agree_the_interval_has_a_width_that_shrinks_with_their_number():
    none, all_of_them = bootstrap_mean(np.zeros((64, 4)), bounds=SHARE), bootstrap_mean(np.ones(64), bounds=SHARE)
    assert (none.mean, none.low, none.high) == (0.0, 0.0, pytest.approx(1 - 0.025 ** (1 / 64)))
    assert (all_of_them.low, all_of_them.high) == (pytest.approx(0.025 ** (1 / 64)), 1.0)
    assert bootstrap_mean(np.zeros(640), bounds=SHARE).high < 0.12 * none.high
    gain = bootstrap_difference(np.ones(64), np.ones(64), bounds=DIFFERENCE)
    assert (gain.low, gain.high) == (pytest.approx(-none.high), pytest.approx(none.high))
    fixed = bootstrap_ratio(np.zeros(64), np.ones(64), bounds=SHARE)
    assert fixed == none
    assert bootstrap_mean(np.full(64, 7.0)).high == 7.0


def test_the_interval_of_a_share_never_seen_covers_the_truth():
    generator = np.random.default_rng(9)
    truth = 0.004
    draws = generator.binomial(1, truth, size=(400, 120))
    none = [row for row in draws if not row.any()]
    assert len(none) > 200
    assert all(bootstrap_mean(row, bounds=SHARE, resamples=50).high > truth for row in none)


def test_difference_of_ratios_is_paired_and_leaves_out_questions_without_a_part():
    one, two = np.array([1.0, 0.0, 1.0, NAN]), np.array([0.0, 0.0, 1.0, 1.0])
    below, other_below = np.array([1.0, 1.0, 2.0, 1.0]), np.array([1.0, 1.0, 2.0, 0.0])
    estimate = bootstrap_ratio_difference((one, below), (two, other_below))
    assert (estimate.mean, estimate.n) == (pytest.approx(2 / 4 - 1 / 4), 3)
    same = bootstrap_ratio_difference((one, below), (one, below), bounds=DIFFERENCE)
    assert same.mean == 0
    assert same.low == -same.high


def test_a_mean_of_ratios_of_one_student_is_its_ratio():
    generator = np.random.default_rng(3)
    above, below = generator.random((40, 1)), generator.integers(0, 3, (40, 1)).astype(float)
    assert bootstrap_mean_ratio(above * below, below) == bootstrap_ratio(above[:, 0] * below[:, 0], below[:, 0])


def test_a_mean_of_ratios_covers_the_truth_where_students_agree_on_questions():
    generator, covered = np.random.default_rng(4), 0
    for _ in range(200):
        hard = generator.random((60, 1)) < 0.5
        values = np.where(hard, 0.2, 0.8) > generator.random((60, 3))
        found = bootstrap_mean_ratio(values.astype(float), np.ones((60, 3)), resamples=400)
        covered += found.low <= 0.5 <= found.high
    assert covered >= 182


def test_a_difference_of_means_is_paired_by_question_and_takes_other_students():
    first = np.array([[1.0, 0.0], [1.0, 1.0], [np.nan, 1.0]])
    ones = np.ones((3, 2))
    found = bootstrap_mean_ratio_difference((first, ones), (first, ones))
    assert (found.mean, found.low, found.high, found.n) == (0.0, 0.0, 0.0, 3)
    other = bootstrap_mean_ratio_difference((first, ones), (np.zeros(3), np.ones(3)))
    assert other.mean == pytest.approx((1 + 2 / 3) / 2)
    with pytest.raises(ValueError, match="the same questions"):
        bootstrap_mean_ratio_difference((first, ones), (np.zeros(2), np.ones(2)))


def test_students_of_whom_each_agrees_with_itself_have_the_mean_of_their_own_intervals():
    values = np.array([[1.0, np.nan], [1.0, 0.0], [np.nan, 0.0], [1.0, 0.0], [1.0, np.nan]])
    found = bootstrap_mean_ratio(values, np.ones_like(values), bounds=(0.0, 1.0))
    first, second = (bootstrap_mean(values[:, column], bounds=(0.0, 1.0)) for column in (0, 1))
    assert (found.mean, found.n) == (0.5, 5)
    assert found.low == pytest.approx((first.low + second.low) / 2)
    assert found.high == pytest.approx((first.high + second.high) / 2)
