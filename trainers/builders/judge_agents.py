"""Agents of the user's own that judge: made from `verifier_args`, without loading anything heavy."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial
from typing import Any

from trainers import plugins
from trainers.configuration.settings.experiments import StudentExperiment
from trainers.configuration.settings.in_words import written
from trainers.configuration.settings.judges import JudgeEntry, entries, judge_args, stronger
from trainers.plugins.signatures import GivenSettings, checked
from trainers.problems import ConfigurationError, Problem


def agent_problems(config: StudentExperiment) -> Iterator[Problem]:
    """Yield the problems of agents that judge, each made once to see that it can be."""
    args = judge_args(config.teaching) or {}
    for entry in [*entries(args), *([last] if (last := stronger(args)) else [])]:
        if entry.model.agent:
            try:
                made_agent(entry)
            except ConfigurationError as error:
                yield from error.problems


def made_agent(entry: JudgeEntry) -> Any:
    """Return the function, or the instance of the class, that an entry names.

    Raises:
        ConfigurationError: when it cannot be imported, or not be made with these settings.
    """
    path, settings = entry.model.agent, entry.model.agent_args or {}
    assert path is not None
    given, key = f"{entry.given}.agent={path}", f"{entry.given}.agent_args"
    component = plugins.imported(given, path)
    of_class = inspect.isclass(component)
    values = checked(component, GivenSettings(given, key, settings, () if of_class else ("text",), ()))
    if not of_class:
        return partial(component, **values) if values else component
    try:
        return component(**values)
    except Exception as error:  # whatever the constructor of a user raises
        expected = f"cannot be made ({type(error).__name__}: {error})"
        raise ConfigurationError(
            [Problem(f"{key}={written(settings)}", expected, "correct them, or the class")]
        ) from error
