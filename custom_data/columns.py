"""One resolver from the column names found in the wild to the names ATLAS uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

ACCEPTED: dict[str, tuple[str, ...]] = {
    "question": ("question", "prompt", "problem", "problem_text"),
    "solution": ("solution", "answer", "ground_truth", "final_answer"),
    "student_approach": ("student_approach",),
    "teacher_diagnosis": ("teacher_diagnosis",),
    "teacher_teaching": ("teacher_teaching",),
}
RL_COLUMNS = ("question", "solution")
SFT_COLUMNS = ("question", "student_approach", "teacher_diagnosis", "teacher_teaching")


class ColumnError(ValueError):
    """A dataset lacks a column that the experiment needs, or the mapping names one that is not there."""


def resolve_columns(
    found: Sequence[str], needed: Sequence[str], column_map: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Map every needed name to a column that exists.

    Args:
        found: the dataset's columns.
        needed: names as in `ACCEPTED`.
        column_map: explicit choices, needed name → column; it wins over the accepted names.

    Raises:
        ColumnError: naming what was found, what is accepted and the mapping to write.
    """
    chosen = dict(column_map or {})
    problems = [
        f"column_map.{name}={chosen[name]!r}: the dataset has no such column"
        for name in chosen
        if chosen[name] not in found
    ]
    resolved: dict[str, str] = {}
    for name in needed:
        candidates = [chosen[name]] if name in chosen else [column for column in ACCEPTED[name] if column in found]
        if candidates:
            resolved[name] = candidates[0]
        else:
            problems.append(f"no column for {name!r}; accepted names: {', '.join(ACCEPTED[name])}")
    if problems:
        example = f"column_map.{needed[0]}={found[0] if found else 'NAME'}"
        raise ColumnError(
            "; ".join(problems) + f". Columns found: {', '.join(found)}. Say which to use, for example {example}"
        )
    return resolved
