"""Components of a user's own: from a name or a dotted path to something that is ready to be called.

    reward=my_package.rewards.Gentle reward_args.harm=2

A class is constructed with its settings, and with the top-level keys that are named like further parameters of it; a
function gets its settings bound. Everything is checked against the signature of what is named, by `plugin_problems`
before anything starts, and again where it is made.
"""

from __future__ import annotations

import asyncio
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from typing import Any

from trainers.configuration.problems import ConfigurationError, Problem
from trainers.configuration.wording import typed
from trainers.dotted import resolve
from trainers.teaching.calls import close
from trainers.teaching.functions import TOLD
from trainers.teaching.verifiers.names import VERIFIERS

_REMEDY = "write the dotted path of a function or class, importable from where you start"
_ARGUMENTS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_POSITIONS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)


@dataclass(frozen=True)
class Seam:
    """A place where ATLAS takes a component of a user's own.

    Args:
        key: the configuration key that names the component; its settings are under `KEY_args`.
        call: the arguments that ATLAS calls it with, by position.
        told: what it is called with besides, by name, where it has a parameter of that name.
        names: components that have a short name, by their dotted paths.
        default: dotted path of the component of `KEY=null`; without one there is none then.
        method: what is called of an object that has a method of that name, else the object itself is called.
        offers: parameters of a class that other configuration keys are for, beside those that are named like them.
    """

    key: str
    call: tuple[str, ...]
    told: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    default: str | None = None
    method: str = "__call__"
    offers: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings_key(self) -> str:
        """The key of the component's settings."""
        return f"{self.key}_args"

    def chosen(self, config: Mapping[str, Any]) -> str | None:
        """Return the dotted path that a configuration asks for, `None` where it asks for no component."""
        name = config.get(self.key)
        return self.default if name is None else self.names.get(name, name)


REWARD = Seam("reward", ("lesson",), default="trainers.teaching.reward.AdaptiveTeachingReward")
VERIFIER = Seam(
    "verifier", ("solution", "question"), names=VERIFIERS, method="verify", offers={"timeout_s": "verifier_timeout_s"}
)
STUDENT = Seam("student_agent", ("text",), told=TOLD, method="generate")
ROW_READER = Seam("row_reader", ("row",))
SEAMS = (REWARD, VERIFIER, STUDENT, ROW_READER)


def build(seam: Seam, config: Mapping[str, Any]) -> Any:
    """Make the component of a seam that a configuration names.

    Args:
        seam: which one.
        config: a resolved configuration that names one.

    Returns:
        An instance of the class that is named, or the function with its settings bound.

    Raises:
        ConfigurationError: when it cannot be imported, is nothing to call, has no such argument, lacks one, or raises
            on construction.
    """
    path = seam.chosen(config)
    assert path is not None
    given = f"{seam.key}={typed(config[seam.key])}"
    component = imported(given, path)
    settings = config.get(seam.settings_key) or {}
    if not inspect.isclass(component):
        return _bound(seam, given, component, settings)
    known = {**config, **{name: config[key] for name, key in seam.offers.items() if key in config}}
    values = _checked(seam, given, component, settings, taken=(), known=known)
    arguments = {name: known[name] for name in _parameters(component) if name in known} | values
    try:
        made = component(**arguments)
    except Exception as error:  # whatever the constructor of a user raises
        remedy = f"correct {seam.settings_key}, or the class"
        raise _refused(given, f"cannot be made ({_said(error)})", remedy) from error
    method = getattr(made, seam.method, made)
    if not callable(method):
        remedy = f"give it a method {seam.method}({', '.join(seam.call)})"
        raise _refused(given, f"an instance of {component.__name__} cannot be called", remedy)
    if seam.method != "generate" or method is made:
        _check_call(seam, given, method)
    return made


def plugin_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of every component that a configuration names, each made once to see that it can be."""
    for seam in SEAMS:
        if seam.key in config and seam.chosen(config) is not None:
            try:
                made = build(seam, config)
            except ConfigurationError as error:
                yield from error.problems
                continue
            try:
                asyncio.run(close(made))
            except Exception as error:  # noqa: BLE001 - whatever closing a user's component raises
                given = f"{seam.key}={typed(config[seam.key])}"
                yield Problem(given, f"cannot be closed ({_said(error)})", "correct its close, which ends every run")


def imported(given: str, path: str) -> Any:
    """Import what a dotted path names.

    Args:
        given: the key and value as they were given, for messages.
        path: the dotted path.

    Raises:
        ConfigurationError: when it cannot be imported, or is nothing to call.
    """
    try:
        found = resolve(path)
    except Exception as error:  # whatever importing a user's module raises
        raise _refused(given, f"cannot be imported ({_said(error)})", _REMEDY) from error
    if not callable(found):
        expected = f"expected a function or class, got a {type(found).__name__}"
        raise _refused(given, expected, "name the function itself")
    return found


def subclass(key: str, path: str, base: type) -> Any:
    """Import a class that has to be derived from another.

    Args:
        key: the configuration key that names it.
        path: its dotted path.
        base: the class that it has to be derived from.

    Raises:
        ConfigurationError: when it cannot be imported or is no such class.
    """
    given = f"{key}={path}"
    found = imported(given, path)
    if not (inspect.isclass(found) and issubclass(found, base)):
        name = f"{base.__module__}.{base.__name__}"
        raise _refused(given, f"expected a class derived from {name}", f"write class {_title(found)}({base.__name__})")
    return found


def _bound(seam: Seam, given: str, function: Callable[..., Any], settings: Mapping[str, Any]) -> Callable[..., Any]:
    positions = [p.name for p in _parameters(function).values() if p.kind in _POSITIONS]
    values = _checked(
        seam, given, function, settings, taken=positions[: len(seam.call)], known=dict.fromkeys(seam.told)
    )
    bound = partial(function, **values) if values else function
    _check_call(seam, given, bound)
    return bound


def _check_call(seam: Seam, given: str, function: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:
        # A function of C may have no signature to look at.
        return
    try:
        signature.bind(*seam.call, **{name: name for name in seam.told if name in signature.parameters})
    except TypeError as error:
        expected = f"it is called with ({', '.join(seam.call)}), and that fails: {error}"
        raise _refused(given, expected, "give it these parameters, and defaults to all others") from error


def _checked(
    seam: Seam,
    given: str,
    component: Callable[..., Any],
    settings: Mapping[str, Any],
    *,
    taken: typing.Collection[str],
    known: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the settings, as the annotations of the parameters want them, or raise what is wrong with them."""
    parameters = _parameters(component)
    free = {name: p for name, p in parameters.items() if p.kind in _ARGUMENTS and name not in taken}
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    hints = _hints(component)
    problems, values = [], dict[str, Any]()
    for name, value in settings.items():
        shown = f"{seam.settings_key}.{name}={typed(value)}"
        if name not in free and not (anything and name not in taken):
            problems.append(Problem(shown, f"{_title(component)} has no argument {name}", _meant(str(name), free)))
            continue
        try:
            values[name] = _fitting(hints[name], value) if name in hints else value
        except ValueError as error:
            expected = f"{_title(component)} takes {_wanted(hints[name])} there ({error})"
            problems.append(Problem(shown, expected, f"give another {name}, or leave it out"))
    given_to_it = {*settings, *known}
    lacking = [n for n, p in free.items() if p.default is p.empty and n not in given_to_it]
    for name in lacking if len(problems) == 0 else []:
        expected = f"{_title(component)} needs the argument {name}"
        problems.append(Problem(given, expected, f"write {seam.settings_key}.{name}=…"))
    if problems:
        raise ConfigurationError(problems)
    return values


def _parameters(component: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(component).parameters
    except ValueError:
        # Some builtin functions tell nothing; they take what they take.
        return {"settings": inspect.Parameter("settings", inspect.Parameter.VAR_KEYWORD)}


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
        adapter = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:
        # A dataclass, say, brings a configuration of its own and takes no other; some annotations say nothing to it.
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].lower()) from error


def _wanted(annotation: Any) -> str:
    return annotation.__name__ if inspect.isclass(annotation) else str(annotation)


def _meant(name: str, free: Mapping[str, Any]) -> str:
    close_ones = get_close_matches(name, list(free), n=1)
    if close_ones:
        return f"did you mean {close_ones[0]}?"
    return f"it takes {', '.join(free)}" if free else "leave it out: it takes no settings"


def _title(component: Any) -> str:
    return getattr(component, "__name__", type(component).__name__)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _refused(given: str, expected: str, remedy: str) -> ConfigurationError:
    return ConfigurationError([Problem(given, expected, remedy)])
