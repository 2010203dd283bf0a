"""Settings for a class or function, checked against its signature and made what its annotations say."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from trainers.configuration.settings.in_words import written
from trainers.problems import ConfigurationError, Problem

NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
POSITIONAL = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)


@dataclass(frozen=True)
class GivenSettings:
    """Settings as they were given.

    Args:
        given: the key and value that name the component, for messages.
        key: the key of the settings.
        settings: values by the names of parameters.
        taken: parameters that are given by position, and cannot be set.
        known: parameters that get a value also where it is not among the settings.
    """

    given: str
    key: str
    settings: Mapping[str, Any]
    taken: Collection[str]
    known: Collection[str]


def checked(component: Callable[..., Any], asked: GivenSettings) -> dict[str, Any]:
    """Return the settings as the annotations want them: a path for text, a tuple for a list.

    Raises:
        ConfigurationError: with every setting that there is none of or that does not fit, or else those that lack.
    """
    free = {
        name: parameter
        for name, parameter in parameters_of(component).items()
        if parameter.kind in NAMED and name not in asked.taken
    }
    strange = list(_strange(component, asked, free))
    hints, values, unfit = _hints(component), dict[str, Any](), list[Problem]()
    for name, value in asked.settings.items():
        try:
            values[name] = _fitting(hints[name], value) if name in hints else value
        except ValueError as error:
            expected = f"{title(component)} takes {_wanted(hints[name])} there ({error})"
            unfit.append(Problem(_shown(asked, name), expected, f"give another {name}, or leave it out"))
    if problems := [*strange, *unfit] or list(_lacking(component, asked, free)):
        raise ConfigurationError(problems)
    return values


def parameters_of(component: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a class or function; of one that tells nothing of them, any by name."""
    try:
        return inspect.signature(component).parameters
    except ValueError:
        return {"settings": inspect.Parameter("settings", inspect.Parameter.VAR_KEYWORD)}


def title(component: object) -> str:
    """Return the name of a class or function, as messages have it."""
    return getattr(component, "__name__", type(component).__name__)


def _strange(component: Callable[..., Any], asked: GivenSettings, free: Mapping[str, Any]) -> Iterator[Problem]:
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters_of(component).values())
    for name in asked.settings:
        if name in free or (anything and name not in asked.taken):
            continue
        close = get_close_matches(str(name), list(free), n=1)
        takes = f"it takes {', '.join(free)}" if free else "leave it out: it takes no settings"
        remedy = f"did you mean {close[0]}?" if close else takes
        yield Problem(_shown(asked, name), f"{title(component)} has no argument {name}", remedy)


def _lacking(
    component: Callable[..., Any], asked: GivenSettings, free: Mapping[str, inspect.Parameter]
) -> Iterator[Problem]:
    for name, parameter in free.items():
        if parameter.default is parameter.empty and name not in {*asked.settings, *asked.known}:
            expected = f"{title(component)} needs the argument {name}"
            yield Problem(asked.given, expected, f"write {asked.key}.{name}=…")


def _hints(component: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a component's parameters; none where one names what is imported for checkers only."""
    function = component.__init__ if inspect.isclass(component) else component
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        return {}


def _fitting(annotation: Any, value: Any) -> Any:
    """Return a value as an annotation wants it: a path for text, a tuple for a list.

    Raises:
        ValueError: when it does not fit, with the reason.
    """
    # Importing it takes a fifth of a second, which runs without settings of their own need not spend.
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

    try:
        # A command line gives `name=4` as a number, also where text is wanted.
        taking = ConfigDict(arbitrary_types_allowed=True, coerce_numbers_to_str=True)
        adapter = TypeAdapter(annotation, config=taking)
    except PydanticUserError:
        # A dataclass, say, brings a configuration of its own and takes no other; some annotations say nothing to it.
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].lower()) from error


def _wanted(annotation: Any) -> str:
    return annotation.__name__ if inspect.isclass(annotation) else str(annotation)


def _shown(asked: GivenSettings, name: str) -> str:
    return f"{asked.key}.{name}={written(asked.settings[name])}"
