"""One resolver from the column names found in the wild to the names ATLAS uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from trainers.configuration.problems import ConfigurationError, Problem

ACCEPTED: dict[str, tuple[str, ...]] = {
    "question": ("question", "prompt", "problem", "problem_text"),
    # A row may have a worked solution and the bare answer: answers are checked against the bare one.
    "solution": ("final_answer", "ground_truth", "answer", "solution"),
    "worked_solution": ("solution", "answer", "ground_truth", "final_answer"),
    "reasoning_trace": ("reasoning_trace",),
    "student_approach": ("student_approach",),
    "teacher_diagnosis": ("teacher_diagnosis",),
    "teacher_teaching": ("teacher_teaching",),
    "messages": ("messages", "conversations"),
    "level": ("level", "difficulty", "subset"),
    "tests": ("test", "tests", "test_list"),
}
"""Our names, each with the column names that are taken for it, the preferred first."""


def find_columns(
    found: Sequence[str], wanted: Sequence[str], column_map: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Map the wanted names to columns; a name for which there is none is left out.

    Args:
        found: the dataset's columns.
        wanted: names as in `ACCEPTED`.
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


def check_names(column_map: Mapping[str, str] | None) -> Iterator[Problem]:
    """One problem per key of a `column_map` that is no name of ours."""
    for name, column in (column_map or {}).items():
        if name in ACCEPTED:
            continue
        swapped = column in ACCEPTED
        close = get_close_matches(str(name), ACCEPTED, n=1)
        remedy = f"write column_map.{column if swapped else close[0] if close else 'question'}="
        remedy += str(name) if swapped else str(column)
        yield Problem(f"column_map.{name}={column}", f"expected one of our names: {', '.join(ACCEPTED)}", remedy)


def _no_column(name: str, found: Sequence[str]) -> Problem:
    expected = f"expected one of {', '.join(ACCEPTED[name])}, found the columns {', '.join(found)}"
    remedy = f"say which to use, for example column_map.{name}={found[0] if found else 'NAME'}"
    return Problem(f"no column for {name!r}", expected, remedy)
