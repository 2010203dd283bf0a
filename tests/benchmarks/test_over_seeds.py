"""Means over training seeds."""

from __future__ import annotations

import math

import pytest

from scripts.benchmarks.learning.over_seeds import STUDENT_T, across_seeds, mean_over_seeds
from tests.support.evaluations import evaluated
from trainers.evaluation.measures.results import Results


def results(*questions: tuple[list[bool], list[bool]]) -> Results:
    alone, taught = evaluated(*questions)
    return Results(tuple(alone), {"T": tuple(taught)})


RIGHT, WRONG = ([False], [True]), ([False], [False])


def test_the_interval_is_student_s():
    """Of 1, 2, 3, 4, 5: mean 3, deviation sqrt(2.5), so half an interval is 2.776 sqrt(2.5 / 5) = 1.963."""
    found = mean_over_seeds([1, 2, 3, 4, 5])
    assert (found.mean, found.n) == (3, 5)
    assert found.high - 3 == pytest.approx(3 - found.low) == pytest.approx(1.963, abs=5e-4)


def test_one_seed_says_nothing_of_others_and_no_seed_nothing():
    assert mean_over_seeds([0.5]).high == math.inf
    assert not mean_over_seeds([]).known
    assert (mean_over_seeds([math.nan, 0.5]).mean, mean_over_seeds([math.nan, 0.5]).n) == (0.5, 1)


def test_more_seeds_than_there_are_quantiles_are_refused():
    assert mean_over_seeds([0.5] * (len(STUDENT_T) + 1)).n == 21
    with pytest.raises(ValueError, match="22 seeds"):
        mean_over_seeds([0.5] * 22)


def test_differences_are_paired_by_seed():
    """Seeds reach 50% and 100% by the recipe, 0% and 50% by the variant: 50 points less on each, without any spread."""
    whole = [results(RIGHT, WRONG), results(RIGHT, RIGHT)]
    variant = [results(WRONG, WRONG), results(RIGHT, WRONG)]
    table = across_seeds({"whole": whole, "variant": variant}, "whole")
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["student alone"][0] == "0.0% [0.0%, 0.0%]"
    assert rows["whole"][0].startswith("75.0% [")
    assert rows["whole"][1] == ""
    assert rows["variant"][1] == "-50.0 [-50.0, -50.0]"
    assert across_seeds({"variant": variant}, "whole").rows[1][2] == ""
