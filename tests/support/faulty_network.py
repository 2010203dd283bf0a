"""A proxy of bytes in front of a server, over which a network loses, delays and breaks what it carries."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

FAULTS = ("latency", "loss", "reset", "refused", "half-open")
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of a socket that is closed by a reset."""


class FaultyNetwork:
    """Carries connections to servers, a share of which each fault of some kinds befalls.

    Args:
        chance: draws which, and after how many bytes of an answer.
        kinds: those of `FAULTS` that happen: bytes that come late; bytes that come much later, as after a packet was
            lost and sent again; a connection that is reset, or closed at once; one that is there and says nothing.
        share: of connections with a fault.
        host: address that it listens on.
    """

    def __init__(
        self, chance: random.Random, kinds: tuple[str, ...] = FAULTS, share: float = 0.3, host: str = "127.0.0.1"
    ) -> None:
        self._chance = chance
        self._kinds = kinds
        self._share = share
        self._host = host
        self.done: Counter[str] = Counter()

    @asynccontextmanager
    async def before(self, url: str) -> AsyncIterator[str]:
        """Listen in front of a server of this machine; yield the address to ask instead of its own."""
        port = int(url.rpartition(":")[2])

        async def carried(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError, asyncio.CancelledError):
                await self._carry(reader, writer, port)
            writer.close()

        server = await asyncio.start_server(carried, self._host, 0)
        host = f"[{self._host}]" if ":" in self._host else self._host
        try:
            yield f"http://{host}:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        fault = self._chance.choice(self._kinds) if self._chance.random() < self._share else None
        if fault is not None:
            self.done[fault] += 1
        if fault == "refused":
            return
        there, back = await asyncio.open_connection("127.0.0.1", port)
        asking = asyncio.create_task(_copy(reader, back))
        try:
            await self._answer(there, writer, fault)
        finally:
            asking.cancel()
            back.close()

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: str | None) -> None:
        left = self._chance.randrange(2000)
        while data := await there.read(200):
            left -= len(data)
            if fault == "latency":
                await asyncio.sleep(self._chance.uniform(0.0, 0.05))
            elif fault is not None and left < 0:
                if fault == "half-open":
                    await asyncio.sleep(600)
                if fault == "reset":
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    writer.transport.abort()
                    return
                await asyncio.sleep(self._chance.uniform(0.1, 0.4))
                fault = None
            writer.write(data)
            await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
