"""The memory of the GPUs, asked of `nvidia-smi`, or assumed for another machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainers.configuration.devices.machine import Machine
from trainers.configuration.devices.nvidia_smi import mig_slices, query
from trainers.launch.estimates.memory import GIB
from trainers.serving.server_spec import Gpu

MEBIBYTE = 2**20
COLUMNS = ("index", "memory.total", "memory.free")


@dataclass(frozen=True)
class Card:
    """One GPU's memory in bytes: all of it, and what no other process holds now."""

    total: int
    free: int


def cards(machine: Machine, assumed_gib: float | None = None) -> dict[Gpu, Card]:
    """Return the memory of a machine's GPUs; empty where it is not known."""
    if machine.assumed:
        size = int((assumed_gib or 0) * GIB)
        return dict.fromkeys(machine.gpus, Card(size, size)) if size else {}
    found: dict[Gpu, Card] = dict(read_cards(query(*COLUMNS)).items())
    if any(isinstance(gpu, str) for gpu in machine.gpus):
        # How much of a slice is free is not told.
        found |= {name: Card(size, size) for name, size in mig_slices().items()}
    return {gpu: card for gpu, card in found.items() if gpu in machine.gpus}


def read_cards(rows: Iterable[Sequence[str]]) -> dict[int, Card]:
    """Return the cards in rows of index, total and free MiB, less those that tell no memory, such as MIG slices."""
    numbers = [list(map(int, row)) for row in rows if all(cell.isdigit() for cell in row)]
    return {index: Card(total * MEBIBYTE, free * MEBIBYTE) for index, total, free in numbers}
