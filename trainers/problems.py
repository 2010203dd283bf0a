"""Problems of a configuration, said so that a stranger can mend them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


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
        count = len(self.problems)
        title = "1 problem" if count == 1 else f"{count} problems"
        return "\n".join([f"Configuration: {title}", *(f"  {index}. {p}" for index, p in enumerate(self.problems, 1))])
