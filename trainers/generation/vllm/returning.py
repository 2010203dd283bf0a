"""Waiting for servers that the launcher restarts: a request that nobody could answer is asked again once one is up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import aiohttp

from trainers.serving.server_records import RETURN_S, ServerRecords

LOOK_EVERY_S = 0.5
HEALTH_S = 5.0
"""Seconds in which a server answers `/health` that is well."""


class Returning:
    """Knows whether servers come back. Belongs to one asyncio loop; however many wait, one of them looks for all.

    Args:
        records: what the launcher says of its servers.
        timeout_s: seconds after which one counts as gone.
        look_every_s: seconds between two looks.
    """

    def __init__(
        self, records: ServerRecords, *, timeout_s: float = RETURN_S, look_every_s: float = LOOK_EVERY_S
    ) -> None:
        self.records = records
        self._timeout_s = timeout_s
        self._look_every_s = look_every_s
        self._looking = asyncio.Lock()
        self._unwell: dict[str, float] = {}  # when each server was looked at last that was not well

    async def wait(self, session: aiohttp.ClientSession, urls: Sequence[str], seen: Mapping[str, int]) -> bool:
        """Wait until one of some servers is up again that was restarted since; return False when none will be.

        None will where one of them is well, or the launcher has given up all: what failed was the request.

        Args:
            session: to ask servers with.
            urls: of the servers.
            seen: the restarts that they had when the request was first sent.
        """
        until = time.monotonic() + self._timeout_s
        while not self.records.came_back(seen):
            coming = [url for url in urls if self.records.comes_back(url)]
            up = [url for url in coming if self.records.now()[url].state == "up"]
            if not coming or time.monotonic() > until or await self._any_well(session, up):
                return self.records.came_back(seen)
            await asyncio.sleep(self._look_every_s)
        return True

    async def _any_well(self, session: aiohttp.ClientSession, urls: Sequence[str]) -> bool:
        async with self._looking:
            for url in urls:
                if time.monotonic() - self._unwell.get(url, float("-inf")) < self._look_every_s:
                    continue
                if await _is_well(session, url):
                    return True
                self._unwell[url] = time.monotonic()
        return False


async def _is_well(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/health", timeout=aiohttp.ClientTimeout(total=HEALTH_S)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
