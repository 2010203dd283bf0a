"""One resolver from the column names found in the wild to the names ATLAS uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainers.configuration.problems import ConfigurationError, Problem

ACCEPTED: dict[str, tuple[str, ...]] = {
    "question": ("question", "prompt", "problem", "problem_text"),
    "solution": ("solution", "answer", "ground_truth", "final_answer"),
    "student_approach": ("student_approach",),
    "teacher_diagnosis": ("teacher_diagnosis",),
    "teacher_teaching": ("teacher_teaching",),
}
RL_COLUMNS = ("question", "solution")
SFT_COLUMNS = ("question", "student_approach", "teacher_diagnosis", "teacher_teaching")


def resolve_columns(
    found: Sequence[str], needed: Sequence[str], column_map: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Map every needed name to a column that exists.

    Args:
        found: the dataset's columns.
        needed: names as in `ACCEPTED`.
        column_map: explicit choices, needed name → column; it wins over the accepted names.

    Raises:
        ConfigurationError: naming what was found, what is accepted and the mapping to write.
    """
    chosen = dict(column_map or {})
    columns = ", ".join(found)
    problems = [
        Problem(f"column_map.{name}={column}", f"expected one of the dataset's columns: {columns}", "name one of them")
        for name, column in chosen.items()
        if column not in found
    ]
    resolved: dict[str, str] = {}
    for name in needed:
        candidates = [chosen[name]] if name in chosen else [column for column in ACCEPTED[name] if column in found]
        if candidates:
            resolved[name] = candidates[0]
        else:
            expected = f"expected one of {', '.join(ACCEPTED[name])}, found the columns {columns}"
            remedy = f"say which to use, for example column_map.{name}={found[0] if found else 'NAME'}"
            problems.append(Problem(f"no column for {name!r}", expected, remedy))
    if problems:
        raise ConfigurationError(problems)
    return resolved
