"""Checks that each value is of the type, choice and range of its key."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from difflib import get_close_matches
from math import isfinite
from typing import Any

from trainers.configuration.annotations import fits
from trainers.configuration.fields import Field
from trainers.configuration.problems import Problem
from trainers.configuration.wording import expected, kind, typed

COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "!=": operator.ne}


def check_values(config: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Problem]:
    """The keys whose value does not fit, each with its problem."""
    found = {key: check_value(value, fields[key]) for key, value in config.items() if key in fields}
    return {key: problem for key, problem in found.items() if problem is not None}


def check_value(value: Any, field: Field) -> Problem | None:
    """The problem with one value; `None` when there is none."""
    given = f"{field.name}={typed(value)}"
    example = f"write for example {field.name}={typed(field.default)}" if field.default != "" else "give another value"
    if field.choices and value is not None and value not in field.choices:
        close = get_close_matches(str(value), field.choices, n=1)
        remedy = f"did you mean {close[0]}?" if close else example
        return Problem(given, f"expected one of {', '.join(field.choices)}", remedy)
    if not fits(value, field.type):
        return Problem(given, f"expected {expected(field.type)}, got {kind(value)}", example)
    if isinstance(value, float) and not isfinite(value):
        return Problem(given, "expected a finite number", example)
    if field.bounds and isinstance(value, int | float) and not within(value, field.bounds):
        return Problem(given, f"expected a number {field.bounds.replace(', ', ' and ')}", example)
    return None


def within(value: float, bounds: str) -> bool:
    """Return whether a number satisfies bounds such as `> 0, <= 1`."""
    tests = (part.split() for part in bounds.split(","))
    return all(COMPARISONS[sign](value, float(limit)) for sign, limit in tests)
