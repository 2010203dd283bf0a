"""Metrics of rollouts until they are logged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean


class StepMetrics:
    """Collects what rollouts said, on the rank that ran them, and gives its means once per log."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = defaultdict(list)

    def add(self, metrics: Mapping[str, float]) -> None:
        """Those of one rollout."""
        for name, value in metrics.items():
            self._values[name].append(value)

    def take(self, step_times: Sequence[float], *, steps_per_rollout: int, steps_left: int) -> dict[str, float]:
        """The means since this was last asked, and what they say about time; nothing where there was no rollout.

        Args:
            step_times: seconds of the steps since then.
            steps_per_rollout: steps that share the waiting for one rollout.
            steps_left: steps until the end of the run.
        """
        if not self._values:
            return {}
        means = {name: fmean(values) for name, values in self._values.items()}
        self._values.clear()
        if step_times:
            seconds = fmean(step_times)
            means["time/train_s"] = max(0.0, seconds - means["time/idle_trainer_s"] / steps_per_rollout)
            means["time/eta_s"] = steps_left * seconds
        return means
