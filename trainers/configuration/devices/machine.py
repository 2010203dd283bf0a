"""The GPUs of this machine, or of one that is planned for, found without importing torch."""

from __future__ import annotations

import os
from dataclasses import dataclass

from trainers.configuration.devices.nvidia_smi import query


@dataclass(frozen=True)
class Machine:
    """The visible GPUs, as indices that `CUDA_VISIBLE_DEVICES` takes; `assumed` when another machine is planned for."""

    gpus: tuple[int, ...] = ()
    assumed: bool = False

    @property
    def cpu_only(self) -> bool:
        """True without a visible GPU: training and servers then run on the CPU."""
        return not self.gpus


def assume(gpus: int) -> Machine:
    """Return a machine that is planned for, not the one at hand."""
    return Machine(tuple(range(gpus)), assumed=True)


def detect() -> Machine:
    """Return the GPUs that `nvidia-smi` lists, only those of `CUDA_VISIBLE_DEVICES` where it lists indices."""
    present = tuple(int(index) for [index] in query("index") if index.isdigit())
    return Machine(_visible(present, os.environ.get("CUDA_VISIBLE_DEVICES")))


def _visible(present: tuple[int, ...], listed: str | None) -> tuple[int, ...]:
    if listed is None:
        return present
    chosen = [entry.strip() for entry in listed.split(",") if entry.strip()]
    if not all(entry.isdigit() for entry in chosen):
        return present[: len(chosen)]
    return tuple(int(entry) for entry in chosen if int(entry) in present)
