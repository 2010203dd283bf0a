"""Figures of every teacher with every student."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgb

from trainers.confidence_intervals import Estimate
from trainers.plotting.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    VERMILION,
    arm_colours,
    legend_below,
    new_figure,
    percent,
    save,
    title,
)

Cells = Mapping[str, Mapping[str, Estimate]]
"""Estimates by column (a student) and row (the students alone, or a teacher)."""
_SHARES = LinearSegmentedColormap.from_list("shares", ["#FFFFFF", BLUE])
_GAINS = LinearSegmentedColormap.from_list("gains", [VERMILION, "#FFFFFF", GREEN])
_DARK = 0.45
"""Luminance below which a cell's words are white."""


def student_matrix(accuracy: Cells, gain: Cells, output_path: Path, *, students: int) -> None:
    """Draw a map of accuracies and, where there are teachers, one of gains: arms down, students and means across.

    Args:
        accuracy: accuracies by student and arm (shares).
        gain: accuracy gains by student and teacher (shares; shown in points).
        output_path: where the picture goes.
        students: the number of columns that are students; a line parts them from the means behind.
    """
    rows = max(len(cells) for cells in accuracy.values())
    taught = max(len(cells) for cells in gain.values())
    width = 2.6 + 1.25 * len(accuracy)
    figure, axes = new_figure(2 if taught else 1, 1, (width, 1.6 + 0.62 * (rows + taught) + (1.0 if taught else 0)))
    _draw(axes[0], accuracy, _SHARES, (0.0, 1.0), ".1%", 1)
    title(axes[0], "Accuracy by student")
    if taught:
        most = max((abs(e.mean) for cells in gain.values() for e in cells.values() if e.known), default=0) or 1
        _draw(axes[1], gain, _GAINS, (-most, most), "+z.1f", 100)
        title(axes[1], "Gain by student, percentage points", x="brackets are 95% intervals over questions")
    for axis in axes:
        axis.axvline(students - 0.5, color=INK, linewidth=1.4)
    save(figure, output_path)


def students_by_ability(ability: Mapping[str, Estimate], gain: Cells, length: Cells, output_path: Path) -> None:
    """Draw what each teacher is worth to students of every ability, and how much it says to them.

    Args:
        ability: the accuracy of each student alone (share).
        gain: accuracy gains by student and teacher (shares; shown in points).
        length: mean lengths of a teaching by student and teacher (tokens).
        output_path: where the picture goes.
    """
    figure, axes = new_figure(1, 2, (9.6, 4.2))
    _over_ability(axes[0], ability, gain, 100)
    axes[0].axhline(0, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0.9)
    title(axes[0], "Gain by ability", x="accuracy alone", y="accuracy gain, percentage points")
    _over_ability(axes[1], ability, length, 1)
    axes[1].set_ylim(bottom=0)
    title(axes[1], "Length by ability", x="accuracy alone", y="tokens of a teaching, mean")
    legend_below(figure, axes[0])
    save(figure, output_path)


def _over_ability(axis: Axes, ability: Mapping[str, Estimate], cells: Cells, scale: float) -> None:
    """Draw a line for each teacher over its students, the weakest first, with intervals over questions."""
    order = sorted((name for name, alone in ability.items() if alone.known), key=lambda name: ability[name].mean)
    teachers = list(dict.fromkeys(teacher for column in cells.values() for teacher in column))
    colours = arm_colours(teachers, reference=None)
    for teacher in teachers:
        known = [name for name in order if cells[name][teacher].known]
        at, found = [ability[name].mean for name in known], [cells[name][teacher] for name in known]
        axis.plot(at, [scale * e.mean for e in found], marker="o", color=colours[teacher], label=teacher)
        axis.vlines(at, [scale * e.low for e in found], [scale * e.high for e in found], color=colours[teacher])
    for name in order:
        axis.annotate(
            name, (ability[name].mean, 0), xycoords=("data", "axes fraction"), xytext=(0, 4),
            textcoords="offset points", ha="center", fontsize=8, color=GREY,
        )  # fmt: skip
    axis.set_xlim(-0.03, 1.03)
    percent(axis, "x")


def _draw(axis: Axes, cells: Cells, colours: Colormap, ends: tuple[float, float], spec: str, scale: float) -> None:
    names = list(dict.fromkeys(row for column in cells.values() for row in column))
    found = [[column.get(name) for column in cells.values()] for name in names]
    known = [[np.nan if e is None or not e.known else e.mean for e in row] for row in found]
    axis.imshow(np.array(known), cmap=colours, vmin=ends[0], vmax=ends[1], aspect="auto")
    for y, row in enumerate(found):
        for x, estimate in enumerate(row):
            _write(axis, x, y, estimate, colours, ends, spec, scale)
    axis.set_xticks(range(len(cells)), [_broken(name, 14) for name in cells])
    axis.set_yticks(range(len(names)), [_broken(name, 22) for name in names])
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.spines[["left", "bottom"]].set_visible(False)


def _broken(name: str, width: int) -> str:
    """Return a name in lines, with what stands in brackets in one of them."""
    return fill(re.sub(r"\([^()]*\)", lambda match: match[0].replace(" ", "\u00a0"), name), width)


def _write(
    axis: Axes, x: int, y: int, estimate: Estimate | None, colours: Colormap, ends: tuple[float, float], spec: str,
    scale: float,
) -> None:  # fmt: skip
    if estimate is None or not estimate.known:
        axis.text(x, y, "n/a", ha="center", va="center", fontsize=9, color=GREY)
        return
    ink = "white" if _luminance(colours, (estimate.mean - ends[0]) / (ends[1] - ends[0])) < _DARK else INK
    mean, low, high = (format(value * scale, spec) for value in (estimate.mean, estimate.low, estimate.high))
    axis.text(x, y - 0.14, mean, ha="center", va="center", fontsize=10.5, fontweight="bold", color=ink)
    axis.text(x, y + 0.24, f"[{low}, {high}]", ha="center", va="center", fontsize=7, color=ink)


def _luminance(colours: Colormap, share: float) -> float:
    return float(np.dot(to_rgb(colours(share)), (0.299, 0.587, 0.114)))
