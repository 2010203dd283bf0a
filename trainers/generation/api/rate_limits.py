"""Limits on the requests and tokens that an API is asked for per minute."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

MINUTE_S = 60.0
_LOOK_S = 0.5


@dataclass
class Entry:
    """Something that counts towards a limit for a minute: when it began, and how much it is."""

    time: float
    amount: float


class Window:
    """A limit on what happens within any sixty seconds; `None` is no limit. Times are seconds of any one clock."""

    def __init__(self, per_minute: float | None) -> None:
        self._limit = per_minute
        self._entries: deque[Entry] = deque()

    def wait_s(self, amount: float, now: float) -> float:
        """Return seconds until `amount` more fits. What is larger than the limit fits once nothing else is counted."""
        if self._limit is None:
            return 0.0
        self._forget(now)
        excess = sum(entry.amount for entry in self._entries) + amount - self._limit
        wait = 0.0
        for entry in self._entries:
            if excess <= 0:
                break
            excess -= entry.amount
            wait = entry.time + MINUTE_S - now
        return wait

    def add(self, amount: float, now: float) -> Entry:
        """Count `amount` from now on; the entry's amount may be corrected later."""
        entry = Entry(now, amount)
        if self._limit is not None:
            self._entries.append(entry)
        return entry

    def _forget(self, now: float) -> None:
        while self._entries and self._entries[0].time + MINUTE_S <= now:
            self._entries.popleft()


class RateLimits:
    """Lets requests pass, first come first served, as fast as the limits of an API allow.

    Args:
        requests_per_minute: requests within any sixty seconds; `None` is no limit.
        tokens_per_minute: prompt tokens and generated tokens together, likewise. What a request will generate is
            counted at its budget until its answer says better.
        clock: seconds that pass.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._requests, self._tokens = Window(requests_per_minute), Window(tokens_per_minute)
        self._clock, self._sleep = clock, sleep
        self._paused_until = 0.0
        self._turn = asyncio.Lock()

    async def admit(self, tokens: float) -> Entry:
        """Wait for room for one request of so many tokens; its entry takes what it turns out to use."""
        async with self._turn:
            while (wait := self._wait_s(tokens)) > 0:
                # Answers that use less than their budget make room before that.
                await self._sleep(min(wait, _LOOK_S))
            now = self._clock()
            self._requests.add(1, now)
            return self._tokens.add(tokens, now)

    def pause(self, seconds: float) -> None:
        """Let nothing pass for some time: the API said so."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _wait_s(self, tokens: float) -> float:
        now = self._clock()
        return max(self._paused_until - now, self._requests.wait_s(1, now), self._tokens.wait_s(tokens, now))
