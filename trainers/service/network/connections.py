"""Bound the connections of a server, and the time that each may take to send a request."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web

logger = logging.getLogger(__name__)

_IDLE_S = 75.0
_OWN_FILES = 192
"""Those of a Python process, and of connections that the system hands over at once before one can be closed."""

_TO_MODELS = 2
"""Connections that a request in work has to student and teacher."""


class Connections:
    """Knows who is connected, and whose request is answered; closes connections that others need.

    A connection *waits* for its client until a request has come whole, and again when it is answered. Where there are
    too many, the one that has waited longest is closed for the new one, so that clients who send nothing, or half of
    something, never keep others out.

    Args:
        most: connections at a time.
        receive_s: seconds for the head of a request, and again for its body.
        idle_s: seconds until the next request of a connection whose last one was answered.
    """

    def __init__(self, most: int, receive_s: float, idle_s: float = _IDLE_S) -> None:
        self._most, self._receive_s, self._idle_s = most, receive_s, idle_s
        self._waiting: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}
        self._working: set[asyncio.BaseTransport] = set()

    def __len__(self) -> int:
        """Return how many are connected."""
        return len(self._waiting) + len(self._working)

    def opened(self, transport: asyncio.Transport) -> None:
        """Take in a new connection, in place of another where there are too many."""
        if len(self) >= self._most and self._waiting:
            logger.warning("there are %d connections: the one that waited longest was closed for another", self._most)
            self._abort(next(iter(self._waiting)))
        elif len(self) >= self._most:
            logger.warning("there are %d connections, all at work: another was refused", self._most)
            transport.abort()
            return
        self._wait(transport, self._receive_s)

    def head_came(self, transport: asyncio.BaseTransport | None) -> None:
        """Wait for the body of a request."""
        if transport in self._waiting:
            self._wait(transport, self._receive_s)

    def request_came(self, transport: asyncio.BaseTransport | None) -> None:
        """Leave a connection alone while its request is answered."""
        if transport in self._waiting:
            self._waiting.pop(transport).cancel()
            self._working.add(transport)

    def answered(self, transport: asyncio.BaseTransport | None) -> None:
        """Wait for the next request."""
        if transport in self._waiting or transport in self._working:
            self._wait(transport, self._idle_s)

    def closed(self, transport: asyncio.BaseTransport) -> None:
        """Forget a connection."""
        self._working.discard(transport)
        if transport in self._waiting:
            self._waiting.pop(transport).cancel()

    def _wait(self, transport: asyncio.BaseTransport, seconds: float) -> None:
        self.closed(transport)
        self._waiting[transport] = asyncio.get_running_loop().call_later(seconds, self._expire, transport, seconds)

    def _expire(self, transport: asyncio.BaseTransport, seconds: float) -> None:
        if seconds == self._receive_s:
            logger.warning("a connection was closed that had sent no whole request within %g s", seconds)
        self._abort(transport)

    def _abort(self, transport: asyncio.BaseTransport) -> None:
        self.closed(transport)
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class GuardedRunner(web.AppRunner):
    """Runs an application for connections that are bounded."""

    def __init__(self, app: web.Application, connections: Connections, **options: Any) -> None:
        super().__init__(app, **options)
        self._connections = connections

    @property
    def server(self) -> Any:
        """The factory of protocols of new connections, as sites ask for it; `None` before `setup`."""
        made = super().server
        return None if made is None else lambda: _Counted(made(), self._connections)


class _Counted(asyncio.Protocol):
    """Tells of a connection's beginning and end, and passes everything on."""

    def __init__(self, protocol: asyncio.Protocol, connections: Connections) -> None:
        self._protocol, self._connections = protocol, connections
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._protocol.connection_made(transport)
        self._connections.opened(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._connections.closed(self._transport)
        self._protocol.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


def files_for(connections: int, requests: int) -> int:
    """Return how many files a process has open with so many connections, and so many requests in work."""
    return _OWN_FILES + connections + _TO_MODELS * requests


def connections_within(wanted: int, requests: int, open_files: int) -> int:
    """Return how many connections a process may have that is allowed so many open files.

    Args:
        wanted: connections that are asked for.
        requests: answered at a time, each with connections of its own to the models.
        open_files: limit of the process.

    Raises:
        ValueError: when they do not even suffice for the requests.
    """
    room = min(wanted, open_files - files_for(0, requests))
    if room <= requests:
        needed = files_for(requests + 1, requests)
        raise ValueError(
            f"--max-connections {wanted} with {open_files} open files (ulimit -n) leaves no room for "
            f"--max-concurrent-requests {requests}: there must be more connections than these, and ulimit -n {needed} "
            "at least"
        )
    return room
