"""The picture of variants that were run over several seeds: thin lines for the runs, thick ones for their means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt

Line = tuple[Sequence[float], Sequence[float]]
"""Places along both axes."""


@dataclass(frozen=True)
class Variant:
    """The lines of a variant's runs, one for each seed, and that of their mean."""

    runs: Sequence[Line]
    mean: Line


def draw_variants(variants: Mapping[str, Variant], path: Path, *, title: str, x: str, y: str) -> None:
    """Draw variants by name, with what stands along the axes, into a PNG."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for number, (name, variant) in enumerate(variants.items()):
        for run in variant.runs:
            axes.plot(*run, color=f"C{number}", alpha=0.2)
        axes.plot(*variant.mean, color=f"C{number}", label=name)
    axes.set(xlabel=x, ylabel=y, title=title)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
