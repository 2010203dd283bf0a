"""Figures of training: one run in six panels, or one metric over several seeds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from trainers.jsonl import whole_rows
from trainers.plotting.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    VERMILION,
    cycled_colours,
    legend,
    legend_below,
    new_figure,
    percent,
    save,
    title,
    whole_steps,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One metric of a panel."""

    key: str
    label: str
    colour: str


@dataclass(frozen=True)
class Panel:
    """One panel: title, unit, curves; shares are shown as percentages."""

    title: str
    unit: str
    curves: tuple[Curve, ...]
    share: bool = False


TEACHING, BY_STUDENT = "teaching/", "teaching/by_student/"
BAND = 0.14
"""Opacity of the band from the lowest to the highest student."""
FEW = 3
"""Fewer steps make no line worth the name: their dots must do."""

LEGEND_LINE = 0.14
"""Share of a panel's data that one line of its legend needs above them."""
ACCURACY_PANEL = 1
PANELS = (
    Panel("Reward", "mean reward per lesson", (Curve("reward", "reward", BLUE),)),
    Panel(
        "Accuracy of the student",
        "share of correct solutions",
        (
            Curve("teaching/baseline_accuracy", "alone", GREY),
            Curve("teaching/taught_accuracy", "taught", BLUE),
        ),
        share=True,
    ),
    Panel(
        "Repair and harm",
        "share of solutions",
        (
            Curve("teaching/fix_rate", "wrong alone, right when taught", GREEN),
            Curve("teaching/degradation_rate", "right alone, wrong when taught", VERMILION),
        ),
        share=True,
    ),
    Panel(
        "Length of the teaching",
        "tokens",
        (
            Curve("teaching/teaching_length_mean", "all", BLUE),
            Curve("teaching/teaching_length_mean/baseline_right", "student right alone", GREEN),
            Curve("teaching/teaching_length_mean/baseline_wrong", "student wrong alone", ORANGE),
        ),
    ),
    Panel(
        "What is not rewarded",
        "share of lessons",
        (
            Curve("teaching/leak_rate", "answer leaked, by its words", VERMILION),
            Curve("teaching/blind_leak_rate", "answer leaked, by blind checks", INK),
            Curve("teaching/format_failure_rate", "no teaching found", ORANGE),
            Curve("teaching/forged_turn_rate", "control tokens spelled", BLUE),
            Curve("teaching/unscorable_rate", "unscorable", GREY),
        ),
        share=True,
    ),
    Panel("Distance from the first teacher", "KL divergence, nats per token", (Curve("kl", "KL", BLUE),)),
)
REVERSE_KL = "distillation/reverse_kl"
FROM_THE_MENTOR = Panel(
    "Distance from the mentor", "reverse KL, nats per token", (Curve(REVERSE_KL, "from the mentor", BLUE),)
)


def learning_curves(
    metrics: Path | Sequence[Mapping[str, Any]],
    output_path: Path,
    references: Mapping[str, float] | None = None,
) -> None:
    """Draw a training run: six panels, every logged step as a dot and a smoothed line through them.

    Where a pool has several students a band reaches from the lowest to the highest of them.

    `metrics` is the path of a `metrics.jsonl` or its objects; a step that was logged twice (a resumed run) counts as
    logged last. `references` are accuracies in [0, 1] to mark in the accuracy panel, by label.
    """
    rows = whole_rows(metrics) if isinstance(metrics, Path) else list(metrics)
    figure, axes = new_figure(2, 3, (13.5, 7.2))
    for axis, panel in zip(axes, _panels(rows), strict=True):
        _draw_panel(axis, panel, rows)
    _mark(axes[ACCURACY_PANEL], references)
    save(figure, output_path)


def _panels(rows: Sequence[Mapping[str, Any]]) -> tuple[Panel, ...]:
    """Return the panels of a run: where there is a mentor, it is what the teacher is to come near to."""
    distilled = any(REVERSE_KL in row for row in rows)
    return (*PANELS[:-1], FROM_THE_MENTOR) if distilled else PANELS


def series(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[Floats, Floats]:
    """Return the steps and values of one metric, by step; of several values of one step the last logged."""
    by_step = {
        int(row["step"]): float(row[key])
        for row in rows
        if "step" in row and isinstance(row.get(key), int | float) and math.isfinite(row[key])
    }
    steps = np.array(sorted(by_step), dtype=np.float64)
    return steps, np.array([by_step[int(step)] for step in steps])


def smooth(steps: Floats, values: Floats) -> Floats:
    """Gaussian-weighted mean over about a twentieth of the run to either side; the ends average what is there."""
    if len(steps) < FEW:
        return values
    width = max((steps[-1] - steps[0]) / 20, 0.5 * float(np.median(np.diff(steps))))
    weights = np.exp(-0.5 * ((steps[:, None] - steps[None, :]) / width) ** 2)
    return weights @ values / weights.sum(axis=1)


def _draw_panel(axis: Axes, panel: Panel, rows: Sequence[Mapping[str, Any]]) -> None:
    title(axis, panel.title, x="training step", y=panel.unit)
    drawn = [_draw_curve(axis, curve, rows) for curve in panel.curves]
    spreads = [_draw_spread(axis, curve, rows) for curve in panel.curves]
    students = max(count for count, _ in spreads)
    whole_steps(axis)
    if not any(len(values) for values in drawn):
        axis.text(0.5, 0.5, "not logged", transform=axis.transAxes, ha="center", color=GREY)
        axis.set_yticks([])
        return
    values = np.concatenate(drawn)
    if values.min() >= 0:
        axis.set_ylim(bottom=-0.02 * axis.get_ylim()[1])
    if panel.share:
        percent(axis)
        highest = float(values.max())
        # A long legend would cover the rare point that is far above the others.
        room = min((1 + LEGEND_LINE * len(panel.curves)) * highest, 1.1) if len(panel.curves) > FEW else 0.0
        axis.set_ylim(top=max(1.1 * highest, 0.05, room, *(1.02 * most for _, most in spreads)))
    if students:
        label = f"lowest to highest of {students} students"
        axis.fill_between([], [], color=GREY, alpha=BAND, linewidth=0, label=label)
    if len(panel.curves) > 1 or students:
        legend(axis)


def spread_over_students(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[Floats, Floats, Floats, int]:
    """Return steps, the lowest and the highest student's smoothed values at them, and the number of students.

    A student counts between the first and the last step that it was met in; all are empty where there are not two.

    Args:
        rows: the objects of a `metrics.jsonl`.
        key: a metric of all students together, such as `teaching/fix_rate`.
    """
    part = re.compile(rf"{re.escape(BY_STUDENT)}([^/]+)/{re.escape(key.removeprefix(TEACHING))}")
    found = [series(rows, name) for name in {name: None for row in rows for name in row if part.fullmatch(name)}]
    known = [(steps, smooth(steps, values)) for steps, values in found if len(steps)]
    if len(known) < 2 or not key.startswith(TEACHING):
        nothing = np.array([])
        return nothing, nothing, nothing, 0
    steps = np.unique(np.concatenate([own for own, _ in known]))
    table = np.array([np.interp(steps, own, values, left=np.nan, right=np.nan) for own, values in known])
    return steps, np.nanmin(table, axis=0), np.nanmax(table, axis=0), len(known)


def _draw_spread(axis: Axes, curve: Curve, rows: Sequence[Mapping[str, Any]]) -> tuple[int, float]:
    """Draw the band of a metric; return its number of students and its highest value."""
    steps, low, high, students = spread_over_students(rows, curve.key)
    if not students:
        return 0, 0.0
    axis.fill_between(steps, low, high, color=curve.colour, alpha=BAND, linewidth=0)
    return students, float(np.nanmax(high))


def _draw_curve(axis: Axes, curve: Curve, rows: Sequence[Mapping[str, Any]]) -> Floats:
    steps, values = series(rows, curve.key)
    if len(steps):
        few = len(steps) < FEW
        size, alpha = (5, 0.9) if few else (2.6, 0.28)
        axis.plot(steps, values, "o", color=curve.colour, markersize=size, alpha=alpha, markeredgewidth=0)
        axis.plot(steps, smooth(steps, values), color=curve.colour, linewidth=2, label=curve.label)
    return values


def _mark(axis: Axes, references: Mapping[str, float] | None) -> None:
    for label, value in (references or {}).items():
        axis.set_ylim(top=max(axis.get_ylim()[1], 1.1 * value))
        axis.axhline(value, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axis.annotate(
            label,
            (0.99, value),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=8,
            color=INK,
        )


def several_seeds(
    curves: Mapping[str, Sequence[Sequence[float]]],
    output_path: Path,
    *,
    heading: str,
    unit: str,
    steps: Sequence[float] | None = None,
    share: bool = False,
    references: Mapping[str, float] | None = None,
) -> None:
    """Draw one metric over several seeds: a smoothed line and a band of one deviation to either side.

    `curves` has, per label, one sequence of values per seed (thin lines); seeds may differ in length (mean and
    deviation are over those that got that far). Each seed is smoothed before mean and deviation are taken, so that the
    band shows how seeds differ, not how steps do. One seed has no band. `steps` are the steps of the values (default
    0, 1, …), `references` values to mark, by label.
    """
    figure, (axis,) = new_figure(1, 1, (7.2, 4.2 + 0.2 * len(curves)))
    for (label, seeds), colour in zip(curves.items(), cycled_colours(len(curves)), strict=True):
        _draw_seeds(axis, label, seeds, steps, colour)
    _mark(axis, references)
    title(axis, heading, x="training step", y=unit)
    whole_steps(axis)
    if share:
        percent(axis)
        axis.set_ylim(0, 1)
    legend_below(figure, axis)
    save(figure, output_path)


def _draw_seeds(
    axis: Axes, label: str, seeds: Sequence[Sequence[float]], steps: Sequence[float] | None, colour: str
) -> None:
    longest = max(len(seed) for seed in seeds)
    table = np.full((len(seeds), longest), np.nan)
    for row, seed in zip(table, seeds, strict=True):
        row[: len(seed)] = seed
    x: Floats = np.arange(longest, dtype=np.float64) if steps is None else np.asarray(steps[:longest], dtype=np.float64)
    for row, seed in zip(table, seeds, strict=True):
        axis.plot(x, row, color=colour, linewidth=0.8, alpha=0.25)
        row[: len(seed)] = smooth(x[: len(seed)], row[: len(seed)])
    mean, deviation = np.nanmean(table, axis=0), np.nanstd(table, axis=0)
    if len(seeds) > 1:
        axis.fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=0.2, linewidth=0)
    of_what = f"mean of {len(seeds)} seeds ± 1 s.d." if len(seeds) > 1 else "one seed"
    axis.plot(x, mean, color=colour, linewidth=2.2, label=f"{label} ({of_what})")
