"""The most memory that a machine's cards hold while something runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trainers.concurrency.threads import repeating
from trainers.configuration.devices.nvidia_smi import query

INTERVAL_S = 0.5


class Peaks:
    """The most MiB that each card held so far."""

    def __init__(self) -> None:
        self.by_gpu: dict[int, int] = {}

    def look(self) -> None:
        """Take what the driver says now."""
        for index, used in query("index", "memory.used"):
            if index.isdigit() and used.isdigit():
                self.by_gpu[int(index)] = max(self.by_gpu.get(int(index), 0), int(used))

    @property
    def gib(self) -> float:
        """GiB of the card that held most; 0 without any."""
        return max(self.by_gpu.values(), default=0) / 1024


@contextmanager
def watched_memory() -> Iterator[Peaks]:
    """Look at the cards for as long as the block runs."""
    peaks = Peaks()
    try:
        with repeating(peaks.look, INTERVAL_S):
            yield peaks
    finally:
        peaks.look()
