"""An alarm on teachings that give the answer away without saying it."""

from __future__ import annotations

from collections import deque
from math import comb

WINDOW = 200
"""Checks that are looked back on."""
RARE = 0.01
"""Probability of a false alarm at the limit."""


class BlindLeakAlarm:
    """Follows blind checks, and says once that more of them than a limit are leaks, until they are fewer again.

    Args:
        limit: share of leaks that is put up with, in [0, 1).
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._checks: deque[bool] = deque(maxlen=WINDOW)
        self._raised = False

    def add(self, leaked: int, checked: int) -> float | None:
        """Take the checks of a step; return the share of leaks among the last ones where that is an alarm, else `None`.

        The alarm is an exact binomial test: so many leaks are rarer than `RARE` at the limit.
        """
        self._checks.extend(index < leaked for index in range(checked))
        found, seen = sum(self._checks), len(self._checks)
        above = seen > 0 and at_least(found, seen, self._limit) <= RARE
        new, self._raised = above and not self._raised, above
        return found / seen if new else None


def at_least(found: int, seen: int, share: float) -> float:
    """Return the probability of `found` or more among `seen`, each with probability `share`."""
    return sum(comb(seen, count) * share**count * (1 - share) ** (seen - count) for count in range(found, seen + 1))
