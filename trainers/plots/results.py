"""What an evaluation found, one figure per question a reader asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from trainers.plots.style import GREEN, GREY, INK, ORANGE, arm_colours, legend, new_figure, percent, save, title
from trainers.statistics import Estimate, bootstrap_mean

_LABEL_WIDTH = 22


def accuracy_bars(arms: Mapping[str, Estimate], output_path: Path) -> None:
    """Accuracy per arm (shares in [0, 1]) with its interval; the first arm, the student alone, is the dashed line."""
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
            color=INK,
        )  # fmt: skip
    if names and arms[names[0]].known:
        axis.axvline(arms[names[0]].mean, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0.9)
    axis.set_yticks(range(len(names)), [_wrapped(name) for name in names])
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.set_xlim(0, 1.1)
    axis.set_xticks(np.linspace(0, 1, 6))
    percent(axis, "x")
    questions = max((estimate.n for estimate in arms.values()), default=0)
    title(axis, "Accuracy on held-out questions", x=f"correct solutions, 95% interval over {questions} questions")
    save(figure, output_path)


def length_by_baseline(arms: Mapping[str, tuple[Sequence[float], Sequence[float]]], output_path: Path) -> None:
    """Teaching length in tokens, per arm, where the student was right alone and where it was wrong.

    Each arm has the lengths of both kinds. Dots are teachings, the diamond their mean with a 95% interval that takes
    teachings as independent.
    """
    names = list(arms)
    figure, (axis,) = new_figure(1, 1, (7.6, 1.6 + 0.95 * max(len(names), 1)))
    for position, (right, wrong) in enumerate(arms.values()):
        for lengths, offset, colour in ((right, -0.19, GREEN), (wrong, 0.19, ORANGE)):
            _draw_lengths(axis, np.asarray(lengths, dtype=np.float64), position + offset, colour)
    for label, colour in (("student right alone", GREEN), ("student wrong alone", ORANGE)):
        axis.plot([], [], "D", color=colour, markersize=6, label=label)
    axis.set_yticks(range(len(names)), [_wrapped(name) for name in names])
    axis.set_ylim(len(names) - 0.45, -0.55)
    axis.grid(axis="y", visible=False)
    axis.set_xlim(left=0)
    title(axis, "Length of the teaching", x="tokens inside <teaching>")
    figure.legend(
        *axis.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=9,
        labelcolor=INK,
    )  # fmt: skip
    save(figure, output_path)


def gain_by_difficulty(levels: Mapping[str, Mapping[str, Estimate]], output_path: Path) -> None:
    """Accuracy gain (shares; shown in percentage points) by arm and then by level of difficulty, with intervals."""
    colours = arm_colours(list(levels))
    labels = list(dict.fromkeys(level for gains in levels.values() for level in gains))
    figure, (axis,) = new_figure(1, 1, (max(6.4, 1.6 + 1.1 * len(labels)), 4.2))
    axis.axhline(0, color="#999999", linewidth=1)
    for i, (arm, gains) in enumerate(levels.items()):
        shift = 0.16 * (i - (len(levels) - 1) / 2)
        known = [(labels.index(level) + shift, gain) for level, gain in gains.items() if gain.known]
        for x, gain in known:
            _interval(axis, gain, x, horizontal=False, scale=100, colour=colours[arm])
        axis.plot(
            [x for x, _ in known],
            [100 * gain.mean for _, gain in known],
            "o",
            color=colours[arm],
            markersize=7,
            label=arm,
        )
    counts = [max((gains[label].n for gains in levels.values() if label in gains), default=0) for label in labels]
    axis.set_xticks(range(len(labels)), [f"{label}\n{n} questions" for label, n in zip(labels, counts, strict=True)])
    axis.set_xlim(-0.5, max(len(labels), 1) - 0.5)
    axis.grid(axis="x", visible=False)
    title(axis, "Gain by difficulty", y="taught less alone, percentage points")
    if len(levels) > 1:
        legend(axis)
    save(figure, output_path)


def _interval(
    axis: Axes, estimate: Estimate, position: float, *, horizontal: bool, scale: float = 1, colour: str = INK
) -> None:
    ends = [estimate.low * scale, estimate.high * scale]
    across = [position, position]
    axis.plot(*((ends, across) if horizontal else (across, ends)), color=colour, linewidth=1.6, solid_capstyle="round")


def _draw_lengths(axis: Axes, lengths: np.ndarray, position: float, colour: str) -> None:
    if not len(lengths):
        axis.text(0, position, " none", va="center", fontsize=8.5, color=GREY)
        return
    jitter = np.random.default_rng(0).uniform(-0.11, 0.11, size=len(lengths))
    axis.plot(
        lengths, position + jitter, "o", color=colour, markersize=3, alpha=min(0.5, 12 / len(lengths) ** 0.75),
        markeredgewidth=0,
    )  # fmt: skip
    mean = bootstrap_mean(lengths)
    _interval(axis, mean, position, horizontal=True)
    axis.plot(mean.mean, position, "D", color=colour, markersize=7, markeredgecolor="white", markeredgewidth=1)
    axis.annotate(
        f"{mean.mean:.0f}", (mean.mean, position), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=8.5,
        fontweight="bold", color=INK,
    )  # fmt: skip


def _wrapped(name: str) -> str:
    """A long arm name on two lines."""
    if len(name) <= _LABEL_WIDTH or " " not in name:
        return name
    words = name.split(" ")
    cut = min(range(1, len(words)), key=lambda i: abs(len(" ".join(words[:i])) - len(" ".join(words[i:]))))
    return " ".join(words[:cut]) + "\n" + " ".join(words[cut:])
