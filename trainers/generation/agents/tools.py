"""Python functions as tools of a model: described by their signature and docstring, called within bounds."""

from __future__ import annotations

import asyncio
import inspect
import json
import typing
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from trainers.concurrency.calls import call, is_async, reason
from trainers.concurrency.threads import in_background
from trainers.generation.types import GenerationError

TIMEOUT_S = 10.0
MAX_CHARACTERS = 4000
MOST_HANGING = 64
"""Calls of a tool that may go on beyond their deadline, each in a thread that nothing can end."""
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class ToolFailure(Exception):
    """A tool did not do what it was asked; the message is for the model that asked."""


class ToolError(ValueError):
    """A function cannot be a tool; the message says what it lacks."""


@dataclass(frozen=True)
class Bounds:
    """Bounds on a call of a tool: its deadline in seconds, and the characters of its result that a model reads."""

    timeout_s: float = TIMEOUT_S
    max_characters: int = MAX_CHARACTERS


@dataclass(frozen=True)
class Tool:
    """A tool: its name, what a model is told of it, and what runs it with arguments that were looked at.

    Args:
        name: what a model calls it by.
        schema: its description, a JSON schema of a function in the form of OpenAI's.
        checked: returns arguments as the function wants them; raises `ToolFailure` for those it does not take.
        run: gives the result as text; raises `ToolFailure`.
        max_characters: of a result that a model reads.
    """

    name: str
    schema: Mapping[str, Any]
    checked: Callable[[Mapping[str, Any]], dict[str, Any]]
    run: Callable[[dict[str, Any]], Awaitable[str]]
    max_characters: int = MAX_CHARACTERS

    async def answer(self, arguments: Mapping[str, Any]) -> str:
        """Return the result for a model's arguments, shortened where it is too long.

        Raises:
            ToolFailure: when the arguments do not fit, or the tool raised or took too long.
        """
        return shortened(await self.run(self.checked(arguments)), self.max_characters)


def tool_of(function: Callable[..., Any], bounds: Bounds | None = None) -> Tool:
    """Return a function as a tool that runs in this process, in a thread of its own where it is not asynchronous.

    Raises:
        ToolError: when the function cannot be described, see `described`.
    """
    bounds = bounds or Bounds()
    name, schema, checked = described(function)
    return Tool(name, schema, checked, _OwnFunction(function, bounds.timeout_s), bounds.max_characters)


def described(
    function: Callable[..., Any],
) -> tuple[str, Mapping[str, Any], Callable[[Mapping[str, Any]], dict[str, Any]]]:
    """Return a function's name, its JSON schema, and what checks arguments against its annotations.

    Raises:
        ToolError: when it is no function, takes what cannot be given by name, or lacks a type or a description.
    """
    # Importing transformers takes seconds, which a program without tools need not spend.
    from transformers.utils import get_json_schema
    from transformers.utils.chat_template_utils import DocstringParsingException, TypeHintParsingException

    name = getattr(function, "__name__", None)
    if not inspect.isroutine(function) or not isinstance(name, str):
        raise ToolError(f"expected a function, got {type(function).__name__}")
    unnamed = [name for name, parameter in _parameters(function).items() if parameter.kind not in _NAMED]
    if unnamed:
        raise ToolError(f"a model gives arguments by name, and cannot give {', '.join(unnamed)}")
    try:
        schema = get_json_schema(function)
    except (DocstringParsingException, TypeHintParsingException) as error:
        raise ToolError(" ".join(str(error).split())) from error
    # What it gives back is for people: models read the result itself, and chat APIs refuse a field of that name.
    schema["function"].pop("return", None)
    return name, schema, _checker(function)


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters, and how many were left out."""
    left_out = len(text) - most
    return text if left_out <= 0 else f"{text[:most]}… ({left_out} more characters were left out)"


def result_text(result: Any) -> str:
    """Return what a tool gave back as a model reads it: text as it is, all else as JSON."""
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except ValueError as error:
        raise ToolError(f"nothing is known of its parameters ({error})") from error


def _checker(function: Callable[..., Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Return what makes of arguments those that a function's annotations want: 3 of "3", a tuple of a list."""
    # Importing it takes a fifth of a second, which programs without tools need not spend.
    from pydantic import ConfigDict, Field, ValidationError, create_model

    hints = typing.get_type_hints(function)
    # Under names of our own: a parameter may be called as a method of the model's is.
    fields: dict[str, Any] = {}
    named: dict[str, str] = {}
    for number, (name, parameter) in enumerate(_parameters(function).items()):
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[f"argument{number}"] = (hints.get(name, Any), Field(default, alias=name))
        named[f"argument{number}"] = name
    wanted = create_model("Arguments", __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True), **fields)

    def checked(arguments: Mapping[str, Any]) -> dict[str, Any]:
        try:
            values = wanted.model_validate(dict(arguments))
        except ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:5])
            raise ToolFailure(f"wrong arguments ({said}); it takes {', '.join(named.values()) or 'none'}") from error
        return {named[field]: getattr(values, field) for field in values.model_fields_set}

    return checked


@dataclass
class _OwnFunction:
    """Calls a function of the user's own, in a thread that is given up at its deadline.

    A coroutine is cancelled there. Threads cannot be ended: one tool may leave some behind, and then fails for good.
    """

    function: Callable[..., Any]
    timeout_s: float
    _abandoned: list[Future[str]] = field(default_factory=list)

    async def __call__(self, arguments: dict[str, Any]) -> str:
        if is_async(self.function):
            return await self._awaited(arguments)
        name = self.function.__name__
        self._abandoned = [running for running in self._abandoned if not running.done()]
        if len(self._abandoned) >= MOST_HANGING:
            message = f"{MOST_HANGING} calls of the tool {name} hang; give it a deadline of its own, or let it be async"
            raise GenerationError(message, "tool_hangs")
        # A thread for each call, which Python does not wait for at its end.
        running = in_background(_told, self.function, arguments, name=f"tool {name}")
        done, _ = await asyncio.wait([asyncio.wrap_future(running)], timeout=self.timeout_s)
        if not done:
            self._abandoned.append(running)
            raise self._late()
        return running.result()

    async def _awaited(self, arguments: dict[str, Any]) -> str:
        try:
            return result_text(await asyncio.wait_for(call(self.function, **arguments), self.timeout_s))
        except TimeoutError as error:
            raise self._late() from error
        except GenerationError:
            raise
        except Exception as error:
            raise ToolFailure(reason(error)) from error

    def _late(self) -> ToolFailure:
        return ToolFailure(f"it took more than {self.timeout_s:g} s")


def _told(function: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
    """Call a function and return its result as text; whatever it raises, `SystemExit` too, is its failure."""
    try:
        return result_text(function(**arguments))
    except GenerationError:
        raise
    except BaseException as error:
        raise ToolFailure(reason(error)) from error
