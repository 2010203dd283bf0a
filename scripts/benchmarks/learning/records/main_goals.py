"""The goals of the main table: what a pool, a probe and a training are to be worth with students never met."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scripts.benchmarks.learning.records.over_seeds import by_seed, differences, mean_over_seeds, written
from scripts.benchmarks.learning.records.trained_variants import TrainedVariant

WHOLE, NO_PROBE, ONE_STUDENT = "whole recipe", "no probe", "one student"
Table = tuple[list[str], list[list[str]]]


@dataclass(frozen=True)
class MainGoal:
    """Something that the mean over seeds is to reach: at least this much, or at most.

    Where `clear_of_zero` is true, the interval's lower end must be above 0 too.
    """

    label: str
    value: Callable[[TrainedVariant], float]
    limit: float
    spec: str
    less: str | None = None
    at_most: bool = False
    clear_of_zero: bool = False

    def values(self, variants: Mapping[str, Mapping[int, TrainedVariant]]) -> list[float]:
        """Return the value of every seed that has what the goal is about."""
        if self.less is None:
            return [self.value(found) for found in variants[WHOLE].values()]
        return [100 * less for less in differences(variants[WHOLE], variants[self.less])]


def _accuracy(found: TrainedVariant) -> float:
    return found.measures["accuracy"]


MAIN_GOALS = (
    MainGoal("accuracy ≥ 80% of the oracle's", lambda found: _accuracy(found) / found.oracle, 0.8, ".1%"),
    MainGoal(
        "≥ 20 points above the same without a probe, clear of 0",
        _accuracy,
        20,
        "+.1f",
        less=NO_PROBE,
        clear_of_zero=True,
    ),
    MainGoal("≥ 15 points above the teacher of one student", _accuracy, 15, "+.1f", less=ONE_STUDENT),
    MainGoal("accuracy gain ≥ 30 points", lambda found: 100 * (_accuracy(found) - found.alone), 30, "+.1f"),
    MainGoal("non-degradation ≥ 97%", lambda found: found.measures["non_degradation_rate"], 0.97, ".1%"),
    MainGoal("leaks ≤ 0.5%", lambda found: found.measures["leak_rate"], 0.005, ".2%", at_most=True),
)


def main_goals(trained: Sequence[TrainedVariant]) -> Table:
    """Return for each goal its mean over seeds with the interval, how many seeds it rests on, and if it is reached."""
    variants = {name: by_seed(trained, name) for name in (WHOLE, NO_PROBE, ONE_STUDENT)}
    rows = []
    for goal in MAIN_GOALS:
        found = mean_over_seeds(goal.values(variants))
        reached = found.mean <= goal.limit if goal.at_most else found.mean >= goal.limit
        if goal.clear_of_zero:
            reached = reached and found.low > 0
        verdict = "not measured" if math.isnan(found.mean) else "yes" if reached else "no"
        rows.append([goal.label, written(found, goal.spec), str(found.n), verdict])
    return ["goal", "mean over seeds", "seeds", "reached"], rows
