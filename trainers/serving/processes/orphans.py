"""Processes of a run whose guard was killed: they become children of the launcher, which ends them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from trainers.output.temporary import TEMPORARY
from trainers.serving.processes.ending import end

GRACE_S = 5.0
"""Seconds that such processes have to end by themselves when they are asked to."""
_PR_SET_CHILD_SUBREAPER = 36


@contextmanager
def no_orphans(temporary: Path) -> Iterator[None]:
    """Leave no process that was started inside, also where the guard between it and this one was killed.

    Args:
        temporary: the run's directory for temporary files, by which its processes are known.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        orphans = [process for process in psutil.Process().children(recursive=True) if _belongs(process, temporary)]
        end(orphans, GRACE_S)


def _belongs(process: psutil.Process, temporary: Path) -> bool:
    # What ended meanwhile has no environment any more.
    with suppress(psutil.Error, OSError):
        return process.environ().get(TEMPORARY) == str(temporary)
    return False
