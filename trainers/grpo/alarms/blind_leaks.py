"""The alarm on leaks that blind checks find: the policy gives answers away past the words."""

from __future__ import annotations

from collections.abc import Iterable

from trainers.grpo.alarms.alarm import Alarm, Metrics
from trainers.teaching.leaks.alarm import BlindLeakAlarm


class BlindLeaks:
    """Follows the share of leaks among blind checks.

    Args:
        limit: share of leaks that is put up with.
    """

    def __init__(self, limit: float) -> None:
        self._alarm = BlindLeakAlarm(limit)
        self._limit = limit

    def begin(self, step: int, rows: Iterable[Metrics]) -> None:
        """Take the checks of before, whose alarm was told then."""
        for metrics in rows:
            self._share(metrics)

    def look(self, step: int, metrics: Metrics) -> list[Alarm]:
        """Take the checks of the steps since the last log."""
        share = self._share(metrics)
        if share is None:
            return []
        found = f"{100 * share:.0f}% of the last blind checks found that the teaching gives the answer away "
        found += f"(leak_alarm={self._limit})"
        remedy = "read such lessons in lessons/ (blind.leaked), and see leak_policy=blind"
        return [Alarm("blind_leaks", found, remedy, recurs=True)]

    def _share(self, metrics: Metrics) -> float | None:
        if "teaching/blind_leak_rate" not in metrics:
            return None
        checked = round(metrics["teaching/blind_checks"])
        return self._alarm.add(round(metrics["teaching/blind_leak_rate"] * checked), checked)
