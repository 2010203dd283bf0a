"""From a dotted path to what it names, with the true reason where that cannot be imported."""

from __future__ import annotations

import importlib
from functools import reduce
from types import ModuleType
from typing import Any


def resolve(path: str) -> Any:
    """Import the object at a dotted path: a module, or something in one.

    Args:
        path: such as `package.module.Class` or `package.module.Class.method`.

    Raises:
        ModuleNotFoundError: when there is no such module.
        AttributeError: when the module has nothing of that name.
        Exception: whatever importing the module raises.
    """
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        module = _module(".".join(parts[:end]), last=end == 1)
        if module is not None:
            return reduce(getattr, parts[end:], module)
    raise ModuleNotFoundError(f"No module named {path!r}")


def _module(name: str, *, last: bool) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module that is there may lack another, which is what has to be told.
        absent = error.name is not None and (name == error.name or name.startswith(f"{error.name}."))
        if last or not absent:
            raise
        return None
