"""Means over training seeds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from scripts.benchmarks.learning.records.over_seeds import SHOWN, STUDENT_T, across_seeds, by_seed, mean_over_seeds
from scripts.benchmarks.learning.records.seed_tables import MEDIAN_WRONG
from scripts.benchmarks.learning.records.trained_variants import TrainedVariant


def trained(variant: str, seed: int, accuracy: float, arithmetic: str = "2 threads, AVX2") -> TrainedVariant:
    measures = {"accuracy": accuracy, **dict.fromkeys(SHOWN, 0.5)}
    return TrainedVariant(variant, seed, arithmetic, 9, 0.25, 1.0, measures, {})


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
    found = [trained("whole", 0, 0.5), trained("whole", 1, 1), trained("variant", 0, 0), trained("variant", 1, 0.5)]
    rows = {row[0]: row[1:] for row in across_seeds(found, "whole", ["whole", "variant", "never made"]).rows}
    assert list(rows) == ["student alone", "whole", "variant"]
    assert rows["student alone"][0] == "25.0% [25.0%, 25.0%]"
    assert rows["whole"][0].startswith("75.0% [")
    assert rows["whole"][1:3] == ("", "2")
    assert rows["variant"][1:3] == ("-50.0 [-50.0, -50.0]", "2")
    assert across_seeds(found[2:], "whole", ["variant"]).rows[1][2] == ""


def test_lengths_are_written_with_three_digits():
    """30 and 31 tokens: mean 30.5, half an interval 12.706 / 2 = 6.353."""
    measures = {"accuracy": 0.5, **dict.fromkeys(SHOWN, 0.5)}
    found = [replace(trained("whole", seed, 0.5), measures=measures | {MEDIAN_WRONG: 30 + seed}) for seed in (0, 1)]
    [_, whole] = across_seeds(found, "whole", ["whole"]).rows
    assert whole[-1] == "30.5 [24.1, 36.9]"
    assert across_seeds(found[:1], "whole", ["whole"]).rows[1][-1] == "30"


def test_a_seed_that_one_of_two_lacks_is_in_no_difference():
    """The recipe's seed 5 (0%) would make the difference of seed 0 another one."""
    found = [trained("whole", 0, 1), trained("whole", 5, 0), trained("variant", 0, 0.75)]
    [_, whole, variant] = across_seeds(found, "whole", ["whole", "variant"]).rows
    assert whole[3] == "2"
    assert variant[1:4] == ("75.0%", "-25.0", "1")


def test_arithmetics_of_one_seed_are_one_value():
    """Seed 0 twice (40% and 60%) and seed 1 (90%): the mean is (50 + 90) / 2, of two seeds."""
    found = [trained("whole", 0, 0.4), trained("whole", 0, 0.6, "1 thread, AVX2"), trained("whole", 1, 0.9)]
    [_, whole] = across_seeds(found, "whole", ["whole"]).rows
    assert whole[1].startswith("70.0% [")
    assert whole[3] == "2"
    assert by_seed(found, "whole")[0].measures["accuracy"] == pytest.approx(0.5)
