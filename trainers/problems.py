"""Problems of a configuration, said so that a stranger can mend them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Problem:
    """One finding: the key and value as given, what was expected, and what to do about it."""

    given: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.given}: {self.expected}.\n    → {self.remedy}"


class ConfigurationError(Exception):
    """All problems found in one stage of checking; nothing was started."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        told = _told_once(self.problems)
        title = "1 problem" if len(told) == 1 else f"{len(told)} problems"
        return "\n".join([f"Configuration: {title}", *(f"  {index}. {p}" for index, p in enumerate(told, 1))])


def _told_once(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems, those of several keys that have one value and one remedy as one: ten students, one model."""
    alike: dict[tuple[str, ...], list[Problem]] = {}
    for problem in problems:
        value = problem.given.partition("=")[2] or problem.given
        alike.setdefault((value, problem.expected, problem.remedy), []).append(problem)
    return [
        replace(first, given=f"{first.given} ({len(others)} more like it)") if others else first
        for first, *others in alike.values()
    ]
