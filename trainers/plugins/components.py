"""Components of a user's own: from a name or a dotted path to something that is ready to be called.

    reward=my_package.rewards.Gentle reward_args.harm=2

A class is constructed with its settings, and with the top-level keys that are named like further parameters of it; a
function gets its settings bound. Everything is checked against the signature of what is named, by `plugin_problems`
before anything starts, and again where it is made.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from trainers.concurrency.calls import close
from trainers.configuration.settings.experiments import Experiment
from trainers.configuration.settings.in_words import written
from trainers.dotted_path import resolve
from trainers.generation.functions import TOLD
from trainers.plugins.signatures import POSITIONAL, GivenSettings, checked, parameters_of, title
from trainers.problems import ConfigurationError, Problem
from trainers.teaching.verifiers.names import JUDGE, VERIFIERS

_REMEDY = "write the dotted path of a function or class, importable from where you start"


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
        elsewhere: names of what ATLAS makes of more than settings.
        offers: parameters of a class that other configuration keys are for, beside those that are named like them.
    """

    key: str
    call: tuple[str, ...]
    told: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    default: str | None = None
    method: str = "__call__"
    otherwise: str = "__call__"
    elsewhere: frozenset[str] = frozenset()
    offers: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings_key(self) -> str:
        """The key of the component's settings."""
        return f"{self.key}_args"

    def chosen(self, keys: Mapping[str, Any]) -> str | None:
        """Return the dotted path that a configuration's flat keys ask for, `None` where they ask for no component."""
        name = keys.get(self.key)
        if name in self.elsewhere:
            return None
        return self.default if name is None else self.names.get(name, name)


REWARD = Seam("reward", ("lesson",), default="trainers.teaching.reward.AdaptiveTeachingReward")
VERIFIER = Seam(
    "verifier",
    ("solution", "question"),
    names=VERIFIERS,
    method="verify",
    elsewhere=frozenset({JUDGE}),
    offers={"timeout_s": "verifier_timeout_s"},
)
STUDENT = Seam("student_agent", ("text",), told=TOLD, method="generate", otherwise="act")
REFLECTION = Seam("reflection_agent", ("text",), told=TOLD, method="generate")
ROW_READER = Seam("row_reader", ("row",))
SEAMS = (REWARD, VERIFIER, STUDENT, REFLECTION, ROW_READER)


def build(seam: Seam, config: Experiment) -> Any:
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
    keys = config.flat()
    path = seam.chosen(keys)
    assert path is not None
    given = f"{seam.key}={written(keys[seam.key])}"
    component = imported(given, path)
    settings = keys[seam.settings_key] or {}
    if not inspect.isclass(component):
        return _bound(seam, given, component, settings)
    known = {**keys, **{name: keys[key] for name, key in seam.offers.items()}}
    values = checked(component, GivenSettings(given, seam.settings_key, settings, (), known.keys()))
    arguments = {name: known[name] for name in parameters_of(component) if name in known} | values
    try:
        made = component(**arguments)
    except Exception as error:  # whatever the constructor of a user raises
        missing = isinstance(error, ImportError)
        remedy = "install what is missing" if missing else f"correct {seam.settings_key}, or the class"
        raise _refused(given, f"cannot be made ({_said(error)})", remedy) from error
    whole = getattr(made, seam.method, None)
    method = getattr(made, seam.otherwise, made) if whole is None else whole
    if not callable(method):
        wanted = seam.method if seam.otherwise == "__call__" else seam.otherwise
        remedy = f"give it a method {wanted}({', '.join(seam.call)})"
        raise _refused(given, f"an instance of {component.__name__} cannot be called", remedy)
    # A whole generator is called with more than text.
    if seam.method != "generate" or whole is None:
        _check_call(seam, given, method)
    return made


def plugin_problems(config: Experiment) -> Iterator[Problem]:
    """Yield the problems of every component that a configuration names, each made once to see that it can be."""
    keys = config.flat()
    for seam in SEAMS:
        if seam.key in keys and seam.chosen(keys) is not None:
            try:
                made = build(seam, config)
            except ConfigurationError as error:
                yield from error.problems
                continue
            try:
                asyncio.run(close(made))
            except Exception as error:  # noqa: BLE001 - whatever closing a user's component raises
                given = f"{seam.key}={written(keys[seam.key])}"
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
        raise _refused(given, f"expected a class derived from {name}", f"write class {title(found)}({base.__name__})")
    return found


def _bound(seam: Seam, given: str, function: Callable[..., Any], settings: Mapping[str, Any]) -> Callable[..., Any]:
    positions = [p.name for p in parameters_of(function).values() if p.kind in POSITIONAL]
    asked = GivenSettings(given, seam.settings_key, settings, positions[: len(seam.call)], seam.told)
    values = checked(function, asked)
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


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _refused(given: str, expected: str, remedy: str) -> ConfigurationError:
    return ConfigurationError([Problem(given, expected, remedy)])
