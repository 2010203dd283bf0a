"""A check that the user's own functions in a configuration can be imported: before servers start, not after."""

from __future__ import annotations

from collections.abc import Iterator

from hydra.utils import get_object

from trainers.configuration.problems import Problem
from trainers.configuration.settings.experiments import Experiment
from trainers.teaching.verifiers import VERIFIER_NAMES

REMEDY = "write the dotted path of a function or class, importable from where you start"


def function_problems(config: Experiment) -> Iterator[Problem]:
    """One problem for each of `reward` and `verifier` that names nothing callable. Imports the modules they are in."""
    named = {key: config.get(key) for key in ("reward", "verifier")}
    for key, path in named.items():
        if path is not None and path not in VERIFIER_NAMES:
            yield from _named(f"{key}={path}", path)


def _named(given: str, path: str) -> Iterator[Problem]:
    try:
        found = get_object(path)
    except Exception as error:  # noqa: BLE001 - whatever importing a user's module raises
        cause = error.__cause__ or error
        yield Problem(given, f"cannot be imported ({type(cause).__name__}: {' '.join(str(cause).split())})", REMEDY)
        return
    if not callable(found):
        yield Problem(given, f"expected something to call, got a {type(found).__name__}", "name the function itself")
