"""Who may ask a server next: a bounded number of completions in flight, the others wait their turn by priority."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class AdmissionQueue:
    """Lets requests in while fewer than `limit` completions are in flight.

    Of those that wait, the smallest priority is first, and equal ones are in order of arrival.

    A request is let in as a whole, so that one larger than what is left, or than `limit`, need not wait for ever.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self._arrivals = itertools.count()
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, completions: int, priority: int) -> AsyncIterator[Admission]:
        """Wait to be let in with a request for so many completions; inside, give them back as they are done."""
        if self._waiting or self.in_flight >= self.limit:
            await self._wait(completions, priority)
        else:
            self.in_flight += completions
        turn = Admission(self, completions)
        try:
            yield turn
        finally:
            turn.done(turn.completions)

    async def _wait(self, completions: int, priority: int) -> None:
        admitted = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._arrivals), completions, admitted))
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():
                self._leave(completions)
            raise

    def _leave(self, completions: int) -> None:
        self.in_flight -= completions
        while self._waiting and self.in_flight < self.limit:
            _, _, next_completions, admitted = heapq.heappop(self._waiting)
            if not admitted.done():
                self.in_flight += next_completions
                admitted.set_result(None)


class Admission:
    """A request that was let in, and how many of its completions are still in flight."""

    def __init__(self, turns: AdmissionQueue, completions: int) -> None:
        self.completions = completions
        self._turns = turns

    def done(self, completions: int = 1) -> None:
        """Make room for others: so many completions have ended."""
        self.completions -= completions
        self._turns._leave(completions)
