"""The way sums are rounded, which decides which of many trainings a seed becomes."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from scripts.benchmarks.tools.measure import provenance

ORIGIN = "origin.json"


@dataclass(frozen=True)
class Arithmetic:
    """Number of threads that add up, and PyTorch's kernels (`None`: the processor's best)."""

    threads: int
    kernels: str | None

    @classmethod
    def chosen(cls, options: argparse.Namespace) -> Arithmetic:
        """Return the one that the options of `add_options` name."""
        return cls(options.threads, options.kernels)

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        """Add `--threads` and `--kernels` to a program."""
        parser.add_argument(
            "--threads", type=int, default=torch.get_num_threads(), help="of arithmetic (default all cores)"
        )
        parser.add_argument(
            "--kernels", choices=["default", "avx2", "avx512"], help="of PyTorch (default the best here)"
        )

    def environment(self) -> dict[str, str]:
        """Return the variables that make a process calculate so."""
        chosen = {"ATEN_CPU_CAPABILITY": self.kernels} if self.kernels else {}
        return {"OMP_NUM_THREADS": str(self.threads), **chosen}

    def __str__(self) -> str:
        kernels = self.kernels or torch.backends.cpu.get_cpu_capability()
        return f"{self.threads} thread{'s' if self.threads > 1 else ''}, {kernels.upper()}"


def write_origin(directory: Path, arithmetic: Arithmetic) -> None:
    """Say in a directory when, where, from which sources and in which arithmetic its runs come about."""
    directory.mkdir(parents=True, exist_ok=True)
    origin = provenance() | {"arithmetic": str(arithmetic)}
    (directory / ORIGIN).write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
