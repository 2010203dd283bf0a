"""Tables of results on a terminal, which break between words and never inside one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from trainers.progress import is_drawn

LABEL_WIDTH = 18
"""Least width of the first column, which names the rows, where names are longer."""
LONGEST_WORD = 22
"""Longer ones, such as paths, are folded."""
_UNBOUNDED = 10_000
"""Characters of a line in a file."""
_GAP = 2
"""Characters between two columns."""
_BREAKS = re.compile(r" (?=\[)| (?![^\[]*\])")
"""Where a cell may be broken: in front of an interval, and between words, but not inside an interval."""


def console_for_tables() -> Console:
    """Return standard output as something that is as wide as who reads it: a terminal, a launcher's display, a file."""
    console = Console(highlight=False)
    # A display passes lines on, and has said in the environment how wide it is (COLUMNS), which rich reads.
    return console if console.is_terminal or is_drawn() else Console(highlight=False, width=_UNBOUNDED)


def tables_within(width: int, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Table]:
    """Return a table of at most `width` characters, or several such ones with some of the columns each.

    The first column names the rows and stands in all of them. Columns are as wide as their cells where there is room,
    and break between words where there is none.
    """
    columns = list(zip(header, *rows, strict=True))
    least = [_least_width(column) for column in columns]
    least[0] = max(least[0], min(_whole_width(columns[0]), LABEL_WIDTH))
    tables: list[Table] = []
    for chosen in _groups(least, width):
        wanted = [_whole_width(columns[i]) for i in chosen]
        widths = _widths(wanted, [least[i] for i in chosen], width)
        tables.append(_table(title, [columns[i] for i in chosen], widths))
    return tables


def _whole_width(column: Sequence[str]) -> int:
    return max(map(cell_len, column))


def _least_width(column: Sequence[str]) -> int:
    return min(max(cell_len(piece) for cell in column for piece in _BREAKS.split(cell)), LONGEST_WORD)


def _groups(least: Sequence[int], width: int) -> list[list[int]]:
    """Return the columns of each table: the first, and as many others as fit, which is at least one."""
    groups = [[0]]
    for index in range(1, len(least)):
        group = [*groups[-1], index]
        if len(group) > 2 and sum(least[i] + _GAP for i in group) - _GAP > width:
            groups.append([0, index])
        else:
            groups[-1] = group
    return groups


def _widths(wanted: Sequence[int], least: Sequence[int], width: int) -> list[int]:
    """Return the least widths, and the wanted ones of as many columns as there is room for; the rest is the names'."""
    widths = list(least)
    room = width - sum(least) - _GAP * (len(least) - 1)
    for index in [*range(1, len(widths)), 0]:
        more = wanted[index] - widths[index]
        if index == 0 or more <= room:
            more = max(min(more, room), 0)
            widths[index] += more
            room -= more
    return widths


def _table(title: str, columns: Sequence[Sequence[str]], widths: Sequence[int]) -> Table:
    table = Table(
        title=title or None, box=box.SIMPLE_HEAD, show_edge=False, padding=(0, _GAP - 1, 0, 0), pad_edge=False,
        title_justify="left", title_style="bold",
    )  # fmt: skip
    broken = [[_broken(cell, width) for cell in column] for column, width in zip(columns, widths, strict=True)]
    for index, (column, width) in enumerate(zip(broken, widths, strict=True)):
        table.add_column(column[0], justify="left" if index == 0 else "right", width=width, overflow="fold")
    for row in list(zip(*broken, strict=True))[1:]:
        table.add_row(*row)
    return table


def _broken(cell: str, width: int) -> str:
    """Return a cell with its line breaks."""
    lines = [""]
    for piece in _BREAKS.split(cell):
        joined = f"{lines[-1]} {piece}".strip()
        if not lines[-1] or cell_len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(piece)
    return "\n".join(lines)
