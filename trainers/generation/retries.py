"""When a failed request is worth another try, and after how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Code of a user's own (`function`) mostly asks others, whose failures pass.
_RETRYABLE_CAUSES = frozenset({"connection", "timeout", "garbage", "http_429", "function"})


@dataclass(frozen=True)
class RetryPolicy:
    """At most `attempts` tries; the waits between them double from `first_delay_s` up to `max_delay_s` seconds.

    No try begins more than `budget_s` seconds after the first one.
    """

    attempts: int = 4
    first_delay_s: float = 0.5
    max_delay_s: float = 8.0
    budget_s: float = 900.0

    def delay_s(self, failures: int, elapsed_s: float, cause: str) -> float | None:
        """Return the seconds to wait after so many failures in a row; `None` when the request has failed for good."""
        delay = min(self.first_delay_s * 2 ** (failures - 1), self.max_delay_s)
        allowed = failures < self.attempts and elapsed_s + delay <= self.budget_s
        return delay if allowed and is_retryable(cause) else None


def is_retryable(cause: str) -> bool:
    """Return whether a failure may pass by itself: a refused request (4xx) does not, a busy server (429) does."""
    return cause in _RETRYABLE_CAUSES or cause.startswith("http_5")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return seconds that a `Retry-After` header, or the `retry-after-ms` of some APIs, asks to wait.

    `None` for nonsense.

    A date is counted from the answer's own `Date`, where it has one: clocks differ.
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    until = _date(headers.get("retry-after", ""))
    if until is None:
        return None
    return max(0.0, (until - (_date(headers.get("date", "")) or datetime.now(UTC))).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # The oldest of the three forms of a date names no zone: all are in Greenwich's.
    return date if date.tzinfo else date.replace(tzinfo=UTC)
