"""Figures of an evaluation's results, one per question a reader asks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from trainers.confidence_intervals import Estimate
from trainers.plotting.style import (
    GREEN,
    GREY,
    INK,
    ORANGE,
    PINK,
    VERMILION,
    arm_colours,
    cycled_colours,
    legend_below,
    new_figure,
    percent,
    save,
    title,
)

_LABEL_WIDTH = 22
_WIDE_PART = 16
_LONGEST = 36
"""Characters: of a label on one line, of a part's name that is not slanted, and of the end of a name that is shown."""

FEWEST_QUESTIONS = 5
"""Questions that a mean needs to be drawn: an interval over fewer spans nearly everything, or nothing."""


def accuracy_bars(arms: Mapping[str, Estimate], output_path: Path) -> None:
    """Draw the accuracy per arm (shares in [0, 1]) with its interval; the student alone is the dashed line."""
    names = list(arms)
    colours = arm_colours(names, reference=names[0] if names else None)
    figure, (axis,) = new_figure(1, 1, (7.6, 1.3 + 0.62 * max(len(names), 1)))
    for position, (name, estimate) in enumerate(arms.items()):
        if not estimate.known:
            axis.text(0.01, position, "n/a", va="center", fontsize=9.5, color=GREY)
            continue
        axis.barh(position, estimate.mean, height=0.58, color=colours[name], alpha=0.85, linewidth=0)
        _interval(axis, estimate, position, horizontal=True)
        axis.text(
            estimate.high + 0.015, position, f"{estimate.mean:.1%}", va="center", fontsize=10, fontweight="bold",
            color=INK, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    if names and arms[names[0]].known:
        axis.axvline(arms[names[0]].mean, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0.9)
    axis.set_yticks(range(len(names)), [_wrapped(name) for name in names])
    # Set, as an arm without bar takes no room of its own.
    axis.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)
    axis.set_xlim(0, 1.1)
    axis.set_xticks(np.linspace(0, 1, 6))
    percent(axis, "x")
    questions = max((estimate.n for estimate in arms.values()), default=0)
    title(axis, "Accuracy of the student", x=f"correct solutions, 95% interval over {questions} questions")
    save(figure, output_path)


def length_by_baseline(
    arms: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    means: Mapping[str, tuple[Estimate, Estimate]],
    output_path: Path,
) -> None:
    """Teaching length in tokens, per arm, where the student was right alone and where it was wrong.

    Each arm has the lengths of both kinds, which are the dots, and their means over questions with intervals: the
    diamonds.
    """
    names = list(arms)
    figure, (axis,) = new_figure(1, 1, (7.6, 1.6 + 0.95 * max(len(names), 1)))
    for position, (name, both) in enumerate(arms.items()):
        for lengths, mean, offset, colour in zip(both, means[name], (-0.19, 0.19), (GREEN, ORANGE), strict=True):
            _draw_lengths(axis, np.asarray(lengths, dtype=np.float64), mean, position + offset, colour)
    for label, colour in (("student right alone", GREEN), ("student wrong alone", ORANGE)):
        axis.plot([], [], "D", color=colour, markersize=6, label=label)
    axis.set_yticks(range(len(names)), [_wrapped(name) for name in names])
    axis.set_ylim(len(names) - 0.45, -0.55)
    axis.grid(axis="y", visible=False)
    axis.set_xlim(left=0)
    title(axis, "Length of the teaching", x="tokens inside <teaching>, means over questions with 95% intervals")
    legend_below(figure, axis)
    save(figure, output_path)


def gain_by_part(parts: Mapping[str, Mapping[str, Estimate]], output_path: Path, *, heading: str) -> None:
    """Draw the accuracy gain (shares; shown in points) by arm and then by part of the questions, with intervals.

    A part of fewer than `FEWEST_QUESTIONS` questions has its place and no point, as its interval says nothing.
    """
    colours = arm_colours(list(parts))
    labels = list(dict.fromkeys(part for gains in parts.values() for part in gains))
    slanted = max(map(len, labels), default=0) > _WIDE_PART
    height = 4.0 + 0.2 * math.ceil(len(parts) / 2) + (0.8 if slanted else 0)
    figure, (axis,) = new_figure(1, 1, (max(6.4, 1.6 + 1.1 * len(labels)), height))
    axis.axhline(0, color="#999999", linewidth=1)
    for i, (arm, gains) in enumerate(parts.items()):
        shift = min(0.16, 0.8 / len(parts)) * (i - (len(parts) - 1) / 2)
        known = [(labels.index(part) + shift, gain) for part, gain in gains.items() if gain.n >= FEWEST_QUESTIONS]
        for x, gain in known:
            _interval(axis, gain, x, horizontal=False, scale=100, colour=colours[arm])
        axis.plot(
            [x for x, _ in known],
            [100 * gain.mean for _, gain in known],
            "o",
            color=colours[arm],
            markersize=7,
            label=_shortened(arm),
        )
    counts = [max((gains[label].n for gains in parts.values() if label in gains), default=0) for label in labels]
    named = [f"{_shortened(label)}\n{_counted(n)}" for label, n in zip(labels, counts, strict=True)]
    axis.set_xticks(range(len(labels)), named)
    if slanted:
        axis.tick_params(axis="x", rotation=30)
        for text in axis.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")
    axis.set_xlim(-0.5, max(len(labels), 1) - 0.5)
    axis.grid(axis="x", visible=False)
    title(axis, heading, y="taught less alone, percentage points")
    if len(parts) > 1:
        legend_below(figure, axis)
    save(figure, output_path)


def _counted(questions: int) -> str:
    few = ", too few" if questions < FEWEST_QUESTIONS else ""
    return f"{questions} {'question' if questions == 1 else 'questions'}{few}"


def differences(arms: Mapping[str, Estimate], output_path: Path, *, reference: str) -> None:
    """Draw the accuracy of each arm less that of the reference (shares; shown in points), with paired intervals."""
    names = list(arms)
    figure, (axis,) = new_figure(1, 1, (7.6, 1.5 + 0.5 * max(len(names), 1)))
    axis.axvline(0, color="#999999", linewidth=1)
    for position, estimate in enumerate(arms.values()):
        if not estimate.known:
            axis.text(0, position, " n/a", va="center", fontsize=9.5, color=GREY)
            continue
        apart = estimate.low > 0 or estimate.high < 0
        colour = (GREEN if estimate.mean > 0 else VERMILION) if apart else GREY
        _interval(axis, estimate, position, horizontal=True, scale=100, colour=colour)
        axis.plot(100 * estimate.mean, position, "o", color=colour, markersize=8)
        axis.annotate(
            f"{100 * estimate.mean:+z.1f}", (100 * estimate.mean, position), xytext=(0, 8), textcoords="offset points",
            ha="center", fontsize=9, fontweight="bold", color=INK,
        )  # fmt: skip
    axis.set_yticks(range(len(names)), [_wrapped(name) for name in names])
    axis.set_ylim(len(names) - 0.4, -0.7)
    axis.grid(axis="y", visible=False)
    axis.margins(x=0.12)
    count = max((estimate.n for estimate in arms.values()), default=0)
    title(
        axis, f"Accuracy less that of {_shortened(reference)}", x=f"points, paired 95% interval over {count} questions"
    )
    save(figure, output_path)


def token_bars(arms: Mapping[str, tuple[Estimate, Estimate | None]], output_path: Path) -> None:
    """Draw the mean tokens per lesson and arm, of the student's solution and of what guided it, with intervals.

    An arm without guidance, the student alone, has `None` for it.
    """
    names = list(arms)
    figure, (axis,) = new_figure(1, 1, (7.6, 1.6 + 0.95 * max(len(names), 1)))
    for position, (solution, guidance) in enumerate(arms.values()):
        parts = ((solution, GREEN), (guidance, PINK)) if guidance is not None else ((solution, GREEN),)
        for (estimate, colour), offset in zip(parts, (-0.2, 0.2) if guidance is not None else (0.0,), strict=True):
            _token_bar(axis, estimate, position + offset, colour)
    for label, colour in (("solution tokens (student)", GREEN), ("guidance tokens (probe + teacher)", PINK)):
        axis.plot([], [], "s", color=colour, markersize=8, label=label)
    axis.set_yticks(range(len(names)), [_wrapped(name) for name in names])
    axis.set_ylim(len(names) - 0.45, -0.55)
    axis.grid(axis="y", visible=False)
    axis.set_xlim(0, 1.12 * axis.get_xlim()[1])
    title(axis, "Tokens per lesson", x="tokens, each model's own, with 95% intervals over questions")
    legend_below(figure, axis)
    save(figure, output_path)


def gain_by_length(
    arms: Mapping[str, tuple[Sequence[float], Sequence[float], Mapping[str, Estimate]]], output_path: Path
) -> None:
    """Draw the accuracy gain against length of the teaching (on a logarithmic axis), one panel per arm.

    Each arm has the lengths of its lessons in tokens, their gains (shares), and the mean gain by part: the part's name
    starts with the shortest and ends with the longest length, as in `9 to 16 tokens`. A mean over fewer than
    `FEWEST_QUESTIONS` questions is left out, because its interval says nothing, and the panel says so.
    """
    figure, axes = new_figure(1, max(len(arms), 1), (max(5.4, 4.6 * len(arms)), 4.0))
    known = [length for lengths, _, _ in arms.values() for length in lengths if length > 0]
    shortest, longest = min(known, default=1), max(known, default=1)
    for axis, (name, (lengths, gains, parts)), colour in zip(
        axes, arms.items(), cycled_colours(len(arms)), strict=False
    ):
        axis.axhline(0, color="#999999", linewidth=1)
        drawn = {part: gain for part, gain in parts.items() if gain.n >= FEWEST_QUESTIONS}
        if parts and not drawn:
            _say(axis, f"fewer than {FEWEST_QUESTIONS} questions of each length: nothing is drawn")
        else:
            _draw_gains(axis, np.asarray(lengths, dtype=np.float64), np.asarray(gains, dtype=np.float64), colour)
        if drawn and len(drawn) < len(parts):
            few = len(parts) - len(drawn)
            _say(axis, f"{few} of {len(parts)} lengths without a mean: fewer than {FEWEST_QUESTIONS} questions", 0.03)
        for part, gain in drawn.items():
            low, high = (float(word) for word in part.split()[:3:2])
            _part_of_gains(axis, max(low, shortest), min(high, longest), gain)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda tokens, _: f"{tokens:,g}"))
        axis.set_xlim(shortest / 1.3, 1.3 * longest)
        # The words at the bottom stand below the lowest dots.
        axis.set_ylim(-128, 115)
        title(axis, _shortened(name), x="tokens inside <teaching>", y="taught less alone, percentage points")
    save(figure, output_path)


def _say(axis: Axes, text: str, height: float = 0.5) -> None:
    axis.text(0.5, height, text, transform=axis.transAxes, ha="center", fontsize=8.5, color=GREY)


def _draw_gains(axis: Axes, lengths: np.ndarray, gains: np.ndarray, colour: str) -> None:
    if not len(lengths):
        _say(axis, "no lessons")
        return
    generator = np.random.default_rng(0)
    x = lengths * generator.uniform(0.97, 1.03, size=len(lengths))
    y = 100 * gains + generator.uniform(-4, 4, size=len(gains))
    axis.plot(x, y, "o", color=colour, markersize=2.8, alpha=min(0.5, 12 / len(lengths) ** 0.6), markeredgewidth=0)


def _part_of_gains(axis: Axes, low: float, high: float, gain: Estimate) -> None:
    middle = (low * high) ** 0.5
    axis.plot([low - 0.5, high + 0.5], [100 * gain.mean] * 2, color=INK, linewidth=2, solid_capstyle="butt")
    _interval(axis, gain, middle, horizontal=False, scale=100)


def _token_bar(axis: Axes, estimate: Estimate, position: float, colour: str) -> None:
    if not estimate.known:
        axis.text(0, position, " n/a", va="center", fontsize=8.5, color=GREY)
        return
    axis.barh(position, estimate.mean, height=0.36, color=colour, alpha=0.85, linewidth=0)
    _interval(axis, estimate, position, horizontal=True)
    axis.annotate(
        f"{estimate.mean:,.0f}", (estimate.high, position), xytext=(6, 0), textcoords="offset points", va="center",
        fontsize=9, fontweight="bold", color=INK,
    )  # fmt: skip


def _interval(
    axis: Axes, estimate: Estimate, position: float, *, horizontal: bool, scale: float = 1, colour: str = INK
) -> None:
    ends = [estimate.low * scale, estimate.high * scale]
    across = [position, position]
    axis.plot(*((ends, across) if horizontal else (across, ends)), color=colour, linewidth=1.6, solid_capstyle="round")


def _draw_lengths(axis: Axes, lengths: np.ndarray, mean: Estimate, position: float, colour: str) -> None:
    if not mean.known:
        axis.text(0, position, " none", va="center", fontsize=8.5, color=GREY)
        return
    jitter = np.random.default_rng(0).uniform(-0.11, 0.11, size=len(lengths))
    axis.plot(
        lengths, position + jitter, "o", color=colour, markersize=3, alpha=min(0.5, 12 / len(lengths) ** 0.75),
        markeredgewidth=0,
    )  # fmt: skip
    _interval(axis, mean, position, horizontal=True)
    axis.plot(mean.mean, position, "D", color=colour, markersize=7, markeredgecolor="white", markeredgewidth=1)
    axis.annotate(
        f"{mean.mean:.0f}", (mean.mean, position), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=8.5,
        fontweight="bold", color=INK,
    )  # fmt: skip


def _wrapped(name: str) -> str:
    """Return a long arm name on two lines."""
    if len(name) <= _LABEL_WIDTH or " " not in name:
        return _shortened(name)
    words = name.split(" ")
    cut = min(range(1, len(words)), key=lambda i: abs(len(" ".join(words[:i])) - len(" ".join(words[i:]))))
    return _shortened(" ".join(words[:cut])) + "\n" + _shortened(" ".join(words[cut:]))


def _shortened(name: str) -> str:
    """Return the end of a name: paths differ there."""
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"
