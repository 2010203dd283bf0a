"""A check that the user's own functions in a configuration can be imported: before servers start, not after."""

from __future__ import annotations

from collections.abc import Iterator

from hydra.utils import get_object

from trainers.configuration.problems import Problem
from trainers.configuration.settings.teaching import TeachingSettings
from trainers.teaching.verifiers import VERIFIER_NAMES

REMEDY = "write the dotted path of a function or class, importable from where you start"


def function_problems(teaching: TeachingSettings) -> Iterator[Problem]:
    """Yield a problem for each of `reward` and `verifier` that names nothing callable.

    The modules they are in are imported.
    """
    for key, path in (("reward", teaching.reward), ("verifier", teaching.verifier)):
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
