"""Types as text: how a dataclass annotation is written down, and whether a value fits it."""

from __future__ import annotations

import enum
import types
import typing
from typing import Any

SCALARS: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "dict": (dict,),
    "list": (list, tuple),
}


def describe(annotation: Any) -> str:
    """Writes an annotation in the small language that `fits` reads: `int`, `float | null`, `list[str]`, `false` …

    Enumerations become `str` (their members are kept apart, see `members`), and a type that has no plain value, such
    as a nested dataclass, becomes `dict`.
    """
    if annotation is None or annotation is type(None):
        return "null"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(dict.fromkeys(describe(part) for part in arguments))
    if origin is typing.Literal:
        return " | ".join(str(value).lower() for value in arguments)
    if origin is list:
        return f"list[{describe(arguments[0])}]"
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return "str"
    name = getattr(origin or annotation, "__name__", "dict")
    return name if name in SCALARS else "dict"


def members(annotation: Any) -> tuple[str, ...]:
    """The values of the enumerations inside an annotation; empty when there are none."""
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return tuple(str(member.value) for member in annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(value for part in typing.get_args(annotation) for value in members(part))
    return ()


def fits(value: Any, text: str) -> bool:
    """Return whether a value, as YAML gives it, is of the described type. An int is a float; a bool is neither."""
    return any(_fits_one(value, part.strip()) for part in text.split(" | "))


def _fits_one(value: Any, name: str) -> bool:
    if name == "null":
        return value is None
    if name == "false":
        return value is False
    if name.startswith("list["):
        return isinstance(value, list | tuple) and all(fits(item, name[5:-1]) for item in value)
    if isinstance(value, bool) and name != "bool":
        return False
    return isinstance(value, SCALARS[name])
