"""One resolver from the column names found in the wild to the names ATLAS uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from trainers.configuration.datasets.column_names import ACCEPTED
from trainers.problems import ConfigurationError, Problem


def find_columns(
    found: Sequence[str], wanted: Sequence[str], column_map: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Map the wanted names to columns; a name for which there is none is left out.

    Args:
        found: the dataset's columns.
        wanted: names as in `trainers.configuration.datasets.column_names.ACCEPTED`.
        column_map: explicit choices, our name → column; they win over the accepted names.

    Raises:
        ConfigurationError: when `column_map` names a column that is not there.
    """
    chosen = dict(column_map or {})
    missing = {name: column for name, column in chosen.items() if name in wanted and column not in found}
    if missing:
        expected, remedy = f"expected one of the dataset's columns: {', '.join(found)}", "name one of them"
        raise ConfigurationError(
            [Problem(f"column_map.{name}={column}", expected, remedy) for name, column in missing.items()]
        )
    candidates = {name: (chosen[name],) if name in chosen else ACCEPTED[name] for name in wanted}
    matches = {name: [column for column in columns if column in found] for name, columns in candidates.items()}
    return {name: columns[0] for name, columns in matches.items() if columns}


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


def _no_column(name: str, found: Sequence[str]) -> Problem:
    expected = f"expected one of {', '.join(ACCEPTED[name])}, found the columns {', '.join(found)}"
    remedy = f"say which of them to use: {mapping(name, found)}"
    return Problem(f"no column for {name!r}", expected, remedy)


def mapping(name: str, found: Sequence[str]) -> str:
    """Return the entry of `column_map` for one of our names: with a column that is called like it, else `NAME`."""
    meant = {column.strip().lower(): column for column in found}
    like = [meant[accepted] for accepted in ACCEPTED[name] if accepted in meant]
    close = like or [meant[word] for word in get_close_matches(name, list(meant), n=1, cutoff=0.75)]
    column = close[0] if close else "NAME"
    return f"column_map.{name}={column}" if column.isidentifier() else f"'column_map.{name}=\"{column}\"'"
