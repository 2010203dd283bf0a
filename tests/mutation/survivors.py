"""Mutants that no test can notice, because the program does the same with them, or that none has noticed yet."""

from __future__ import annotations

from collections.abc import Mapping

OPEN = "no test notices it yet"

EQUIVALENT: Mapping[tuple[str, str], str] = {}
"""By module and changed lines, why the program does the same."""


def why(module: str, survivor: str) -> str:
    """Return why a mutant survives: the reason that makes it equivalent, or that it is open."""
    return EQUIVALENT.get((module, survivor), OPEN)
