"""Values and types in the words of someone who types them on a command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TYPES = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "dict": "a mapping {name: value}",
    "list": "a list [a,b]",
    "null": "null",
    "false": "false",
}
_KINDS = {int: "a whole number", float: "a fraction", str: "text", dict: "a mapping"}


def typed(value: Any) -> str:
    """A value as it is typed: `true`, `null`, `[a,b]`, `{a: 1}`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{typed(key)}: {typed(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(typed(inner) for inner in value) + "]"
    return str(value)


def expected(annotation: str) -> str:
    """A type in the language of `annotations.fits`, in words: `a whole number, or null`."""
    parts = [_expected_one(part.strip()) for part in annotation.split(" | ")]
    parts = [part for part in parts if part != "null"] + (["null"] if "null" in parts else [])
    return ", or ".join(parts)


def kind(value: Any) -> str:
    """Return the kind of a value in words, such as `a whole number`; `null`, `true` and `false` are their own."""
    return typed(value) if value is None or isinstance(value, bool) else _KINDS.get(type(value), "a list")


def _expected_one(name: str) -> str:
    if name.startswith("list["):
        return f"a list [a,b] of {_TYPES[name[5:-1]].removeprefix('a ')}s".replace("texts", "text")
    return _TYPES[name]
