"""Values against the types of their keys: pydantic's errors as problems that a stranger can mend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from math import isfinite
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from trainers.configuration.foreign_keys import value_refusal
from trainers.configuration.settings.experiments import EXPERIMENTS, sections_of
from trainers.configuration.settings.in_words import expected, kind, written
from trainers.configuration.settings.key import Settings
from trainers.configuration.settings.keys import Key, keys_in
from trainers.problems import Problem

_OUT_OF_BOUNDS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}


def check_values(experiment: str, config: Mapping[str, Any]) -> dict[str, Problem]:
    """Return the keys whose value is of another type, choice or range than theirs, each with its problem."""
    sections = (check_section(section, config) for section in sections_of(EXPERIMENTS[experiment]).values())
    return {name: problem for problems in sections for name, problem in problems.items()}


def check_section(section: type[Settings], config: Mapping[str, Any]) -> dict[str, Problem]:
    """Return the keys of one settings class whose value does not fit, each with its problem.

    Values that are needed and null are passed over: what else is known of the run decides whether they are.
    """
    found: dict[str, Problem] = {}
    for attribute, error in _errors(section, config):
        key = keys_in(section)[section.prefix + attribute]
        if config.get(key.name) is not None or not key.facts.required:
            found.setdefault(key.name, problem_of(key, config[key.name], error))
    return found


def problem_of(key: Key, value: Any, error: ErrorDetails) -> Problem:
    """Return what is wrong with a value, in the words of someone who types it."""
    given = f"{key.name}={written(value)}"
    example = _example(key)
    if key.choices and value is not None:
        close = get_close_matches(str(value), key.choices, n=1)
        remedy = value_refusal(key.name, str(value)) or (f"did you mean {close[0]}?" if close else example)
        return Problem(given, f"expected one of {', '.join(key.choices)}", remedy)
    if isinstance(value, float) and not isfinite(value):
        return Problem(given, "expected a finite number", example)
    if error["type"] in _OUT_OF_BOUNDS:
        return Problem(given, f"expected a number {' and '.join(key.bounds)}", example)
    if error["type"].endswith("_steps"):
        return Problem(given, error["msg"], example)
    return Problem(given, f"expected {expected(key.annotation)}, got {kind(value)}", example)


def _example(key: Key) -> str:
    if key.default is None and not key.optional:
        return f"write {key.name}=…"
    return f"write for example {key.name}={written(key.default)}" if key.default != "" else "give another value"


def _errors(section: type[Settings], config: Mapping[str, Any]) -> Iterator[tuple[str, ErrorDetails]]:
    """Yield the errors of one section's values; those that a key needs and lacks are told by the rules."""
    fields = {name: section.prefix + name for name in section.model_fields}
    values = {name: config[key] for name, key in fields.items() if key in config}
    try:
        section.model_validate(values)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            yield str(details["loc"][0]), details
