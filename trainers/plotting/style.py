"""One look for every figure: palette, spines, grid, saving."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

# Okabe & Ito, Color Universal Design (2008): told apart by colour-blind readers.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PINK, SKY, GREY = "#CC79A7", "#56B4E9", "#7F7F7F"
ARMS = (BLUE, ORANGE, GREEN, PINK, SKY, VERMILION)
INK, FAINT = "#333333", "#E6E6E6"
DPI = 160
_LONG_LABEL = 44
"""Characters of labels of which two do not stand side by side."""


def new_figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """Return a figure of `size` inches with its axes in reading order; belongs to no global state."""
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(wspace=0.06, hspace=0.08))
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axis in axes:
        _tidy(axis)
    return figure, axes


def _tidy(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color("#999999")
    axis.tick_params(colors=INK, labelsize=9, length=3)
    axis.grid(True, color=FAINT, linewidth=0.8)
    axis.set_axisbelow(True)


def title(axis: Axes, text: str, *, x: str = "", y: str = "") -> None:
    """Set the title at the left, and axis labels with their units."""
    axis.set_title(text, loc="left", fontsize=11, fontweight="bold", color=INK)
    axis.set_xlabel(x, fontsize=9.5, color=INK)
    axis.set_ylabel(y, fontsize=9.5, color=INK)


def legend(axis: Axes) -> None:
    """Draw a quiet legend, where there is something to explain."""
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=8.5, labelcolor=INK, handlelength=1.6, loc="best")


def legend_below(figure: Figure, axis: Axes) -> None:
    """Draw the legend below the axes, where nothing is drawn that it could cover."""
    handles, labels = axis.get_legend_handles_labels()
    columns = 2 if max(map(len, labels), default=0) <= _LONG_LABEL else 1
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9, labelcolor=INK)


def percent(axis: Axes, which: str = "y") -> None:
    """Show shares in [0, 1] as percentages, with the digits that they have."""
    shown = FuncFormatter(lambda share, _: f"{round(100 * share, 6):g}%")
    (axis.yaxis if which == "y" else axis.xaxis).set_major_formatter(shown)


def whole_steps(axis: Axes) -> None:
    """Tick whole steps only."""
    axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))


def cycled_colours(count: int) -> list[str]:
    """Return so many colours, which repeat where the palette ends."""
    return [ARMS[i % len(ARMS)] for i in range(count)]


def arm_colours(names: Sequence[str], reference: str | None = None) -> dict[str, str]:
    """Return a colour per arm in the order given; the reference arm is grey."""
    others = [name for name in names if name != reference]
    return dict(zip(others, cycled_colours(len(others)), strict=True)) | ({reference: GREY} if reference else {})


def save(figure: Figure, path: Path) -> None:
    """Write a PNG, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, facecolor="white")
