"""Values and types in the words of someone who writes them on a command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from trainers.configuration.settings.key import Number
from trainers.configuration.settings.keys import members

_TYPES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "a mapping {name: value}",
    list: "a list [a,b]",
}
_KINDS = {int: "a whole number", float: "a fraction", str: "text", dict: "a mapping"}


def written(value: Any) -> str:
    """Return a value as it is typed: `true`, `null`, `[a,b]`, `{a: 1}`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{written(key)}: {written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(written(inner) for inner in value) + "]"
    return str(value)


def expected(annotation: Any) -> str:
    """Return a type in words: `a whole number, or null`."""
    parts = [part for part in members(annotation) if part is not type(None)]
    if set(get_args(Number)) <= set(parts):
        parts.remove(int)
    words = [_in_words(part) for part in parts]
    return ", or ".join([*words, "null"] if type(None) in members(annotation) else words)


def kind(value: Any) -> str:
    """Return the kind of a value in words, such as `a whole number`; `null`, `true` and `false` are their own."""
    return written(value) if value is None or isinstance(value, bool) else _KINDS.get(type(value), "a list")


def _in_words(annotation: Any) -> str:
    origin = get_origin(annotation) or annotation
    if origin is Literal:
        return " or ".join(written(value) for value in get_args(annotation))
    if origin is list and get_args(annotation) not in ((), (Any,)):
        return f"a list [a,b] of {_TYPES[get_args(annotation)[0]].removeprefix('a ')}s".replace("texts", "text")
    return _TYPES[origin]
