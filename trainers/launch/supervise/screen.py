"""The foot of a terminal while a run goes on: stage, bar, figures, the last lesson. Lines pass above it."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.file_proxy import FileProxy
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trainers.terminal.log_lines import short

BAR_WIDTH = 30
REDRAWN_PER_S = 4
FIGURES = 8
"""Columns of the table, which 80 characters hold."""


class Screen:
    """The drawn part of a terminal, and the lines above it. Threads may use it at the same time.

    Args:
        console: of the terminal.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._told: dict[str, Any] = {"stage": "starting"}
        self._since = self._advanced = time.monotonic()

    def line(self, text: str) -> None:
        """Print a line above what is drawn."""
        self.console.print(Text.from_ansi(short(text)), highlight=False)

    def tell(self, record: Mapping[str, Any]) -> None:
        """Take over what a process tells; a new stage begins without what was known of the last one."""
        now = time.monotonic()
        if record.get("stage", self._told["stage"]) != self._told["stage"]:
            self._told, self._since = {"stage": record["stage"]}, now
        if record.get("done") != self._told.get("done"):
            self._advanced = now
        figures = {**self._told.get("figures", {}), **record.get("figures", {})}
        self._told = {**self._told, **record, "figures": figures}

    def __rich__(self) -> RenderableType:
        told = self._told
        parts: list[RenderableType] = [self._head(told)]
        if told.get("figures"):
            parts.append(_table(told["figures"]))
        parts += [Text(str(told[name]), style="dim") for name in ("note", "lesson") if told.get(name)]
        return Group(*parts)

    def _head(self, told: Mapping[str, Any]) -> RenderableType:
        done, total, now = told.get("done"), told.get("total"), time.monotonic()
        left = _left(done, total, self._advanced - self._since, now - self._advanced)
        head = Table.grid(padding=(0, 1))
        cells: list[RenderableType] = [Text(told["stage"], style="bold cyan")]
        if total:
            cells += [ProgressBar(total=total, completed=done or 0, width=BAR_WIDTH), Text(f"{done or 0}/{total}")]
        head.add_row(*cells, Text(f"{_clock(now - self._since)}{left}", style="dim"))
        return head


def _table(figures: Mapping[str, str]) -> Table:
    shown = list(figures.items())[:FIGURES]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    for name, _ in shown:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row(*(value for _, value in shown))
    return table


def _left(done: int | None, total: int | None, taken: float, since: float) -> str:
    """Return about how long the rest takes, if what is `done` took so many seconds, and ended `since` seconds ago."""
    return f" · {_clock(max(taken / done * (total - done) - since, 0))} left" if done and total else ""


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def screen_shown() -> Iterator[Screen | None]:
    """Draw on standard error, and let what is logged pass above, while the body runs; `None` without a terminal."""
    console = Console(file=sys.stderr)
    if not console.is_terminal or console.is_dumb_terminal:
        yield None
        return
    screen = Screen(console)
    handlers = [handler for handler in logging.getLogger().handlers if type(handler) is logging.StreamHandler]
    with Live(screen, console=console, refresh_per_second=REDRAWN_PER_S, transient=True, redirect_stderr=False):
        before = [(handler, handler.setStream(FileProxy(console, sys.stderr))) for handler in handlers]
        try:
            yield screen
        finally:
            for handler, stream in before:
                if stream is not None:
                    handler.setStream(stream)
