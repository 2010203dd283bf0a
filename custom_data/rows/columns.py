"""One resolver from the column names found in the wild to the names ATLAS uses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from trainers.configuration.datasets.column_names import ACCEPTED
from trainers.problems import ConfigurationError, Problem

SHOWN = 30
"""Most of a dataset's columns that a message lists."""
_ANSWERS = ("solution", "worked_solution", "answer_key")
DEEPEST = 3
"""Most names that a path into nested columns may have."""


def plain(name: str) -> str:
    """Return a column's name without case and separators, in which datasets differ (`Correct Answer`)."""
    return re.sub(r"[\s_\-]+", "", name).casefold()


def value_of(row: Mapping[str, Any], column: str | None) -> Any:
    """Return the value of a column, or in a nested one: `reward_model.ground_truth`; `None` where there is none."""
    if column is None:
        return None
    if column in row:
        return row[column]
    value: Any = row
    for name in column.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def names_of(row: Mapping[str, Any], depth: int = DEEPEST) -> Iterator[str]:
    """Yield the columns of a row; those inside of a nested column follow it as paths with dots."""
    for name, value in row.items():
        yield str(name)
        if isinstance(value, Mapping) and depth > 1:
            yield from (f"{name}.{inner}" for inner in names_of(value, depth - 1))


def listed(found: Sequence[str]) -> str:
    """Return, for people, the columns found, those inside of nested ones last, and no more than one can read."""
    ordered = sorted(found, key=lambda name: "." in name)
    return ", ".join(ordered[:SHOWN]) + (", …" if len(ordered) > SHOWN else "")


def match(found: Sequence[str], accepted: Sequence[str]) -> str | None:
    """Return the column that has the first of these names there is, by the letter or else but for case and the like."""
    for name in accepted:
        if name in found:
            return name
        if like := next((column for column in found if plain(column) == plain(name)), None):
            return like
    return None


def find_columns(
    found: Sequence[str], wanted: Sequence[str], column_map: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Map the wanted names to columns; a name for which there is none is left out.

    Args:
        found: the dataset's columns, see `names_of`.
        wanted: names as in `trainers.configuration.datasets.column_names.ACCEPTED`.
        column_map: explicit choices, our name → column; they win over the accepted names.

    Raises:
        ConfigurationError: when `column_map` names a column that is not there, or the question's as the answer, too.
    """
    chosen = dict(column_map or {})
    if chosen.get("question") is not None and chosen["question"] in (chosen.get(name) for name in _ANSWERS):
        raise ConfigurationError([_twice(chosen["question"], found)])
    missing = {name: column for name, column in chosen.items() if name in wanted and column not in found}
    if missing:
        problems = [_not_there(name, column, found) for name, column in missing.items()]
        raise ConfigurationError(problems)
    matches = {name: chosen.get(name) or match(found, ACCEPTED[name]) for name in wanted}
    return {name: column for name, column in matches.items() if column is not None}


def resolve_columns(
    found: Sequence[str], needed: Sequence[str], column_map: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Map every needed name to a column that exists; arguments as in `find_columns`.

    Raises:
        ConfigurationError: naming what was found, what is accepted and the mapping to write.
    """
    resolved = find_columns(found, needed, column_map)
    problems = [_no_column(name, found) for name in needed if name not in resolved]
    if problems:
        raise ConfigurationError(problems)
    return resolved


def _not_there(name: str, column: str, found: Sequence[str]) -> Problem:
    expected = f"expected one of the dataset's columns: {listed(found)}"
    close = get_close_matches(column, list(found), n=1)
    return Problem(f"column_map.{name}={column}", expected, entry(name, close[0]) if close else "name one of them")


def _twice(column: str, found: Sequence[str]) -> Problem:
    given = f"column_map names the column {column} for question and answer"
    others = [other for other in found if other != column]
    expected = f"expected two columns of {listed(found)}, or every question would be its own answer"
    return Problem(given, expected, entry("solution", others[0] if len(others) == 1 else "NAME"))


def _no_column(name: str, found: Sequence[str]) -> Problem:
    expected = f"expected one of {', '.join(ACCEPTED[name])}, found the columns {listed(found)}"
    remedy = f"say which of them to use: {mapping(name, found)}"
    return Problem(f"no column for {name!r}", expected, remedy)


def mapping(name: str, found: Sequence[str]) -> str:
    """Return the entry of `column_map` for one of our names: with a column that is called like it, else `NAME`."""
    meant = {column.strip().lower(): column for column in found}
    words = (name, *ACCEPTED[name])
    close = next((near[0] for word in words if (near := get_close_matches(word, list(meant), n=1, cutoff=0.75))), None)
    return entry(name, meant[close] if close else "NAME")


def entry(name: str, column: str) -> str:
    """Return one entry of `column_map`, as it is typed in a shell."""
    bare = re.fullmatch(r"[A-Za-z_][\w.]*", column)
    return f"column_map.{name}={column}" if bare else f"'column_map.{name}=\"{column}\"'"
