"""One process of a trainer that a signal has stopped is named and ended: the others would wait for it for ever."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

import psutil

from trainers.serving.processes.health_watch import HUNG_AFTER_S, INTERVAL_S
from trainers.serving.processes.readiness import stopped_process

LOOKS = int(HUNG_AFTER_S / INTERVAL_S)
"""Looks in a row at which a process has to be stopped. Seconds would also pass while the launcher itself is stopped."""
logger = logging.getLogger("launch")


class StoppedProcesses:
    """Ends what has been stopped for long among a process and its descendants; the run then ends as if it was killed.

    Args:
        pid: the head of the processes.
        name: what they are called, such as `trainer`.
        every_s: seconds between two looks.
        looks: see `LOOKS`.
    """

    def __init__(self, pid: int, name: str, every_s: float = INTERVAL_S, looks: int = LOOKS) -> None:
        self._pid = pid
        self._name = name
        self._every_s = every_s
        self._looks = looks
        self._next_look = 0.0
        self._stopped: int | None = None
        self._seen = 0

    def end(self) -> None:
        """Look, unless that was done just now, and kill the process that was found stopped often enough."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + self._every_s
        found = stopped_process(self._pid)
        self._seen = self._seen + 1 if found == self._stopped else 1
        self._stopped = found
        if found is None or self._seen < self._looks:
            return
        logger.error(
            "process %d of the %s%s is stopped, as by SIGSTOP, for %.0f s now; it is killed",
            *(found, self._name, _rank(found), (self._seen - 1) * self._every_s),
        )
        with suppress(psutil.NoSuchProcess):
            psutil.Process(found).kill()


def _rank(pid: int) -> str:
    with suppress(psutil.Error, OSError):
        rank = psutil.Process(pid).environ().get("RANK")
        return f" (rank {rank})" if rank else ""
    return ""
