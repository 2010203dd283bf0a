"""Metrics of rollouts until they are logged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import fmean

MEAN, DEVIATION = "teaching_length_mean", "teaching_length_std"


class StepMetrics:
    """Collects what rollouts said, on the rank that ran them, and gives it over all of them once per log."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = defaultdict(list)
        self._weights: dict[str, list[float]] = defaultdict(list)

    def add(self, metrics: Mapping[str, float], weights: Mapping[str, float]) -> None:
        """Take those of one rollout; `weights` are how many values some of them are means of, 1 where not said."""
        for name, value in metrics.items():
            self._values[name].append(value)
            self._weights[name].append(weights.get(name, 1.0))

    def take(self, step_times: Sequence[float], *, steps_per_rollout: int, steps_left: int) -> dict[str, float]:
        """Return the metrics since this was last asked, and what they say about time.

        Nothing where there was no rollout.

        Args:
            step_times: seconds of the steps since then.
            steps_per_rollout: steps that share the waiting for one rollout.
            steps_left: steps until the end of the run.
        """
        if not self._values:
            return {}
        means = {name: self._mean(name, values) for name, values in self._values.items()}
        for deviation in [name for name in means if name.endswith(f"/{DEVIATION}")]:
            mean = deviation.replace(DEVIATION, MEAN)
            lengths = zip(self._values[deviation], self._values[mean], strict=True)
            square = self._mean(deviation, [spread**2 + length**2 for spread, length in lengths])
            means[deviation] = sqrt(max(0.0, square - means[mean] ** 2))
        self._values.clear()
        self._weights.clear()
        if step_times:
            seconds = fmean(step_times)
            means["time/train_s"] = max(0.0, seconds - means["time/idle_trainer_s"] / steps_per_rollout)
            means["time/eta_s"] = steps_left * seconds
        return means

    def _mean(self, name: str, values: Sequence[float]) -> float:
        weights = self._weights[name]
        return fmean(values, weights) if any(weights) else fmean(values)
