"""Batch arithmetic: how many completions make an optimizer step on a given number of processes."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, lcm


@dataclass(frozen=True)
class Batch:
    """A training batch that divides evenly.

    `wanted` and `size` are completions (sequences in SFT) per optimizer step over all processes, before and after
    fitting; `num_generations` is 1 in SFT.
    """

    wanted: int
    size: int
    processes: int
    per_device: int
    num_generations: int

    @property
    def questions(self) -> int:
        """Groups per optimizer step."""
        return self.size // self.num_generations

    @property
    def accumulation(self) -> int:
        """Micro-batches per process and optimizer step."""
        return self.size // (self.processes * self.per_device)

    def __str__(self) -> str:
        fitted = "" if self.size == self.wanted else f" (fitted from {self.wanted})"
        groups = (
            f" = {self.questions} questions x {self.num_generations} generations" if self.num_generations > 1 else ""
        )
        micro = f"{self.processes} processes x {self.per_device} per device x {self.accumulation} micro-batches"
        return f"train_batch_size {self.size}{fitted}{groups} = {micro}"


def fit(wanted: int, processes: int, per_device: int, num_generations: int) -> Batch:
    """Return the multiple of lcm(processes x per_device, num_generations) nearest to `wanted`.

    Ties go down, never to zero.
    """
    unit = lcm(processes * per_device, num_generations)
    below = wanted // unit * unit
    size = below if wanted - below <= below + unit - wanted else below + unit
    return Batch(wanted, max(size, unit), processes, per_device, num_generations)


def fit_evaluation(per_device: int, processes: int, num_generations: int) -> int:
    """Return the evaluation batch per device, nearest to the one given, whose sum over processes holds full groups."""
    unit = num_generations // gcd(num_generations, processes)
    return fit(per_device, 1, unit, num_generations=1).size
