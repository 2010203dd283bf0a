"""The memory of the GPUs, asked of `nvidia-smi`, or assumed for another machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainers.configuration.devices.machine import Machine
from trainers.configuration.devices.nvidia_smi import query
from trainers.launch.estimates.memory import GIB

MEBIBYTE = 2**20
COLUMNS = ("index", "memory.total", "memory.free")


@dataclass(frozen=True)
class Card:
    """One GPU's memory in bytes: all of it, and what no other process holds now."""

    total: int
    free: int


def cards(machine: Machine, assumed_gib: float | None = None) -> dict[int, Card]:
    """Return the memory of a machine's GPUs by index; empty where it is not known."""
    if machine.assumed:
        size = int((assumed_gib or 0) * GIB)
        return dict.fromkeys(machine.gpus, Card(size, size)) if size else {}
    return {index: card for index, card in read_cards(query(*COLUMNS)).items() if index in machine.gpus}


def read_cards(rows: Iterable[Sequence[str]]) -> dict[int, Card]:
    """Return the cards in rows of index, total and free MiB, less those that tell no memory, such as MIG slices."""
    numbers = [list(map(int, row)) for row in rows if all(cell.isdigit() for cell in row)]
    return {index: Card(total * MEBIBYTE, free * MEBIBYTE) for index, total, free in numbers}
