"""The memory of the GPUs, asked of `nvidia-smi`, or assumed for another machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from trainers.configuration.machine import Machine
from trainers.launch.memory import GIB

MEBIBYTE = 2**20


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
    return {index: card for index, card in _asked().items() if index in machine.gpus}


def _asked() -> Mapping[int, Card]:
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return {}
    command = [smi, "--query-gpu=index,memory.total,memory.free", "--format=csv,noheader,nounits"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return read_answer(answer.stdout) if answer.returncode == 0 else {}


def read_answer(text: str) -> dict[int, Card]:
    """Return the cards in a table of index, total and free MiB; other lines, as of MIG slices, are left."""
    rows = [[field.strip() for field in line.split(",")] for line in text.splitlines()]
    numbers = [list(map(int, row)) for row in rows if len(row) == 3 and all(field.isdigit() for field in row)]
    return {index: Card(total * MEBIBYTE, free * MEBIBYTE) for index, total, free in numbers}
