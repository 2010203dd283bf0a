"""Means over training seeds, with intervals that say how far the next seed may be from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from trainers.confidence_intervals import UNKNOWN, Estimate
from trainers.evaluation.measures.results import Results
from trainers.evaluation.reports.results_table import ResultsTable

STUDENT_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
)
"""The 97.5% quantiles of Student's t, for 1 to 20 degrees of freedom."""


SHOWN = {
    "non_degradation_rate": ("non-degradation rate", ".1%"),
    "leak_rate": ("leak rate", ".2%"),
    "teaching_length_baseline_right": ("teaching length, student right", ".1f"),
    "teaching_length_baseline_wrong": ("teaching length, student wrong", ".1f"),
}
"""Measures in the table behind the accuracy: their headings, and how they are written."""


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


def across_seeds(found: Mapping[str, Sequence[Results]], reference: str) -> ResultsTable:
    """Return the means over seeds of every variant, each also set against the reference on the same seeds.

    Args:
        found: the evaluations of a variant's teachers, one per seed, in the same order for all.
        reference: the variant that others are compared with, where it is among them.
    """
    alone = [each.arms()[0].estimates["accuracy"].mean for each in next(iter(found.values()))]
    rows = [("student alone", mean_over_seeds(alone).format(".1%"), "", *[""] * len(SHOWN))]
    theirs = _taught(found.get(reference, ()), "accuracy")
    for name, results in found.items():
        accuracy = _taught(results, "accuracy")
        pairs = zip(accuracy, theirs, strict=True) if theirs and name != reference else ()
        less = mean_over_seeds([mine - other for mine, other in pairs])
        rows.append(
            (
                name,
                mean_over_seeds(accuracy).format(".1%"),
                less.format("+.1f", 100) if less.known else "",
                *(mean_over_seeds(_taught(results, measure)).format(spec) for measure, (_, spec) in SHOWN.items()),
            )
        )
    columns = ("", "accuracy", f"less that of the {reference} (points)", *(heading for heading, _ in SHOWN.values()))
    return ResultsTable("Means over the seeds", columns, tuple(rows))


def _taught(results: Sequence[Results], measure: str) -> list[float]:
    return [each.arms()[1].estimates[measure].mean for each in results]
