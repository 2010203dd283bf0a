"""Processes are asked to end, and killed where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import psutil


def end(processes: Sequence[psutil.Process], grace_s: float) -> None:
    """Ask processes to end, and kill those that are left after `grace_s` seconds."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs(processes, timeout=grace_s)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
