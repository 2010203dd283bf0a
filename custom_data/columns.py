"""One resolver from the column names found in the wild to the names ATLAS uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from custom_data.column_names import ACCEPTED
from trainers.configuration.problems import ConfigurationError, Problem


def find_columns(
    found: Sequence[str], wanted: Sequence[str], column_map: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Map the wanted names to columns; a name for which there is none is left out.

    Args:
        found: the dataset's columns.
        wanted: names as in `custom_data.column_names.ACCEPTED`.
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
    remedy = f"say which to use, for example column_map.{name}={found[0] if found else 'NAME'}"
    return Problem(f"no column for {name!r}", expected, remedy)
