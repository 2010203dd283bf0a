"""The user's home in values: `~/runs` as shells expand it, wherever the shell did not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BARE = re.compile(r"""(^|[\[,:]\s*)(~/[^\s,\]}'"]*)""")


def quoted(value: str) -> str:
    """Return a typed value with its bare paths in quotes: Hydra's grammar has no tilde at the beginning of a word."""
    return _BARE.sub(r"\1'\2'", value)


def expanded(keys: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return composed flat keys with `~/` as the home directory, and a note for each key in which it stood."""
    found = {key: _expanded(value) for key, value in keys.items()}
    changed = [key for key, value in keys.items() if found[key] != value]
    return found, tuple(f"{key}: ~ is {Path.home()}, {found[key]}" for key in changed)


def _expanded(value: Any) -> Any:
    if isinstance(value, str):
        return str(Path(value).expanduser()) if value.startswith("~/") else value
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    return value
