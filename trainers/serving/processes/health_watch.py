"""Watch servers that run but do no work any more: they answer no `/health`, or a process of theirs is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from trainers.serving.processes.readiness import answers, stopped_process
from trainers.serving.server_spec import ServerSpec

HUNG_AFTER_S = 45.0
"""Seconds without any sign of work after which a server counts as hung."""
INTERVAL_S = 5.0
TIMEOUT_S = 15.0
"""Seconds that a busy server may take to answer."""


class Watched(Protocol):
    """A server as far as the watch knows it."""

    spec: ServerSpec

    @property
    def pid(self) -> int:
        """Return the head of its processes."""
        ...


def trouble_of(server: Watched) -> str | None:
    """Return what keeps a server from working now; `None` when nothing does."""
    if (stopped := stopped_process(server.pid)) is None and answers(server.spec.base_url, TIMEOUT_S):
        return None
    # It may have been stopped while it was asked.
    stopped = stopped or stopped_process(server.pid)
    return "it does not answer /health" if stopped is None else f"its process {stopped} is stopped, as by SIGSTOP"


class HealthWatch:
    """Asks each server again and again, in a thread each, from `start` to `stop`.

    Args:
        servers: the servers, which run.
        look: what tells of a server's trouble; others than `trouble_of` in tests.
        hung_after_s: see `HUNG_AFTER_S`.
        interval_s: seconds between two looks.
    """

    def __init__(
        self,
        servers: Sequence[Watched],
        look: Callable[[Watched], str | None] = trouble_of,
        hung_after_s: float = HUNG_AFTER_S,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._servers = tuple(servers)
        self._look = look
        self._hung_after_s = hung_after_s
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._hung: dict[int, str] = {}
        self._well: dict[int, float] = {}

    def start(self) -> HealthWatch:
        """Begin to watch."""
        for number in range(len(self._servers)):
            self.excuse(number)
            threading.Thread(target=self._watch, args=(number,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Watch no longer."""
        self._ended.set()

    def excuse(self, number: int) -> None:
        """Count a server as well at this moment: it is being started, and does no work yet."""
        self._well[number] = time.monotonic()
        self._hung.pop(number, None)

    def hung(self, but: Collection[int] = ()) -> tuple[int, str] | None:
        """Return the number of a server that hangs, and what is known of it; `None` while all work, `but` some."""
        return next(((number, why) for number, why in self._hung.copy().items() if number not in but), None)

    def _watch(self, number: int) -> None:
        while not self._ended.wait(self._interval_s):
            trouble = self._look(self._servers[number])
            idle_s = time.monotonic() - self._well[number]
            if trouble is None:
                self.excuse(number)
            elif idle_s >= self._hung_after_s:
                self._hung[number] = f"hangs: {trouble}, for {idle_s:.0f} s now"
