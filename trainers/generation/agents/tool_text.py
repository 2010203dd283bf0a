"""Tool calls in a model's text, as Hermes and Qwen write: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainers.generation.api.tool_calls import UNREADABLE, read_arguments, written
from trainers.generation.types import ToolCall

OPENING, CLOSING = "<tool_call>", "</tool_call>"
_CALL = re.compile(rf"{OPENING}(.*?)(?:{CLOSING}|\Z)", re.DOTALL)
_NAME = re.compile(r'"name"\s*:\s*"([^"]{1,64})"')
NAMELESS = "unnamed"
"""The name of a call whose text names none."""


@dataclass(frozen=True)
class Said:
    """A model's words in one turn without its tool calls, and these."""

    text: str
    calls: tuple[ToolCall, ...]


def read_text(text: str) -> Said:
    """Return what a turn says; a call that cannot be read keeps its text as an argument, for the model to be told."""
    calls = tuple(_read(match[1].strip()) for match in _CALL.finditer(text))
    return Said(_CALL.sub("", text).strip(), calls)


def with_calls(text: str, calls: Sequence[ToolCall]) -> str:
    """Return a text with calls that came beside it, as a model would have written them."""
    shown = (f'{OPENING}{{"name": {json.dumps(call.name)}, "arguments": {written(call)}}}{CLOSING}' for call in calls)
    return "\n".join(part for part in (text, *shown) if part)


def _read(content: str) -> ToolCall:
    try:
        found: Any = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        named = _NAME.search(content)
        return ToolCall(named[1] if named else NAMELESS, {UNREADABLE: content})
    return ToolCall(found["name"], read_arguments(found.get("arguments", found.get("parameters"))))
