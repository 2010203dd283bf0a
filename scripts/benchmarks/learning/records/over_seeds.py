"""Means over training seeds, with intervals that say how far the next seed may be from them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev

from scripts.benchmarks.learning.records.seed_tables import MEASURES, MEDIAN_RIGHT, MEDIAN_WRONG
from scripts.benchmarks.learning.records.trained_variants import TrainedVariant
from trainers.confidence_intervals import UNKNOWN, Estimate
from trainers.evaluation.reports.results_table import ResultsTable

STUDENT_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
)
"""The 97.5% quantiles of Student's t, for 1 to 20 degrees of freedom."""


SHOWN = {
    name: MEASURES[name]
    for name in ("accuracy_gain", "non_degradation_rate", "fix_rate", "leak_rate", MEDIAN_RIGHT, MEDIAN_WRONG)
}
"""Measures in the table behind the accuracy."""


def mean_over_seeds(values: Sequence[float]) -> Estimate:
    """Return the mean of one value per seed with its 95% interval by Student's t (Biometrika 6, 1908).

    A seed draws its own world, questions, warm-up and training, so that its value has all of their chance in it, and
    the interval too. Of one seed nothing is known but the value; then the ends are infinite. NaN is left out.

    Raises:
        ValueError: for more seeds than there are quantiles.
    """
    values = [value for value in map(float, values) if not math.isnan(value)]
    if not values:
        return UNKNOWN
    mean = fmean(values)
    if len(values) == 1:
        return Estimate(mean, -math.inf, math.inf, 1)
    if len(values) > len(STUDENT_T) + 1:
        raise ValueError(f"{len(values)} seeds: quantiles are known for {len(STUDENT_T) + 1}; add them to STUDENT_T")
    half = STUDENT_T[len(values) - 2] * stdev(values) / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half, len(values))


def across_seeds(trained: Sequence[TrainedVariant], reference: str, variants: Sequence[str]) -> ResultsTable:
    """Return the means over seeds of the chosen variants, each also set against the reference on the same seeds.

    Several arithmetics of one seed are one value, their mean: they share a world, and are not seeds of their own.
    """
    by_variant = {name: by_seed(trained, name) for name in variants}
    shown = {name: found for name, found in by_variant.items() if found}
    alone = {seed: each.alone for found in shown.values() for seed, each in found.items()}
    rows = [("student alone", written(mean_over_seeds(list(alone.values())), ".1%"), "", "", *[""] * len(SHOWN))]
    for name, found in shown.items():
        less = differences(found, by_variant.get(reference, {})) if name != reference else []
        values = {measure: [each.measures[measure] for each in found.values()] for measure in ("accuracy", *SHOWN)}
        rows.append(
            (
                name,
                written(mean_over_seeds(values["accuracy"]), ".1%"),
                written(mean_over_seeds(less), "+.1f", 100) if less else "",
                str(len(found)),
                *(written(mean_over_seeds(values[name]), row.spec, row.scale) for name, row in SHOWN.items()),
            )
        )
    columns = (
        "",
        "accuracy",
        f"less that of the {reference} (points)",
        "seeds",
        *(row.label for row in SHOWN.values()),
    )
    return ResultsTable("Means over the seeds", columns, tuple(rows))


def by_seed(trained: Sequence[TrainedVariant], variant: str) -> dict[int, TrainedVariant]:
    """Return a variant's trainings by seed; several arithmetics of a seed are one, with the means of their figures."""
    seeds: dict[int, list[TrainedVariant]] = defaultdict(list)
    for each in trained:
        if each.variant == variant:
            seeds[each.seed].append(each)
    return {
        seed: replace(
            found[0],
            alone=fmean(each.alone for each in found),
            measures={name: fmean(each.measures[name] for each in found) for name in found[0].measures},
        )
        for seed, found in sorted(seeds.items())
    }


def differences(mine: Mapping[int, TrainedVariant], others: Mapping[int, TrainedVariant]) -> list[float]:
    """Return by how much the accuracy of one variant is above another's, for every seed that has both."""
    return [
        found.measures["accuracy"] - others[seed].measures["accuracy"] for seed, found in mine.items() if seed in others
    ]


def written(estimate: Estimate, spec: str, scale: float = 1.0) -> str:
    """Write an estimate; of one seed the value alone, since nothing is known of others."""
    return f"{estimate.mean * scale:{spec}}" if estimate.n == 1 else estimate.format(spec, scale)
