"""The figures of a run so far, and what two stretches of them say about each other. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, variance
from typing import Any

from trainers.configuration.schedule.evaluation_metrics import PREFIX
from trainers.grpo.alarms.alarm import Metrics

CERTAIN = 4.0
"""Standard errors beyond which a difference is no chance: a long run is looked at some hundred times."""

BY_STUDENT = "teaching/by_student/"
OF_RUN = frozenset(
    {
        "reward",
        "kl",
        "sampling/sampling_logp_difference/mean",
        "sampling/importance_sampling_ratio/mean",
        "teaching/leak_rate",
        "teaching/suspected_leak_rate",
        "teaching/teaching_length_mean",
        "teaching/format_failure_rate",
        "teaching/truncated_rate/teaching",
        "eval_teaching/accuracy_gain",
        "eval_teaching/score_gain",
    }
)
"""Metrics that are remembered of a row: all of them, for every step of a long run, would fill the memory."""
OF_STUDENTS = ("/accuracy_gain", "/taught_accuracy")


@dataclass(frozen=True)
class History:
    """The rows that a training logged, and those of its periodic evaluations, oldest first, with their steps."""

    rows: list[tuple[int, Metrics]] = field(default_factory=list)
    evaluations: list[tuple[int, Metrics]] = field(default_factory=list)

    def add(self, step: int, metrics: Metrics) -> bool:
        """Take what was logged; return whether it says anything of lessons."""
        kept = {name: value for name, value in metrics.items() if _remembered(name)}
        if any(name.startswith(PREFIX) for name in metrics):
            self.evaluations.append((step, kept))
        elif "reward" in metrics:
            self.rows.append((step, kept))
        else:
            return False
        return True

    def values(self, name: str) -> list[float]:
        """Return a metric of the rows that have it; what is no number is left out."""
        return numbers(metrics.get(name) for _, metrics in self.rows)


def _remembered(name: str) -> bool:
    return name in OF_RUN or (name.startswith(BY_STUDENT) and name.endswith(OF_STUDENTS))


def numbers(values: Iterable[Any]) -> list[float]:
    """Return those of some values that are numbers, infinity among them."""
    found = [value for value in values if isinstance(value, int | float)]
    return [float(value) for value in found if not math.isnan(value)]


def rise(before: Sequence[float], after: Sequence[float]) -> float | None:
    """Return by how much the mean of the later values is higher, `None` where that may be chance.

    Both need two values or more. The test is Welch's, at `CERTAIN` standard errors.
    """
    if min(len(before), len(after)) < 2:
        return None
    difference = fmean(after) - fmean(before)
    error = math.sqrt(variance(before) / len(before) + variance(after) / len(after))
    return difference if difference > CERTAIN * error else None
