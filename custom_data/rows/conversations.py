"""Chat rows: `conversations` (from/value) and `messages` (role/content), as lists of turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from custom_data.rows.bad_rows import BadRowError

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_call": "assistant",
}
"""Names that chat data has for the speakers."""

TEXT_PARTS = ("text", "input_text", "output_text")
"""The types of those parts of a message that are text."""


@dataclass(frozen=True)
class ChatTurn:
    """One turn: `role` is system, user, assistant or tool; `content` is empty where an assistant only calls a tool."""

    role: str
    content: str


@dataclass(frozen=True)
class Exchange:
    """The end of a conversation: the last question before the final reply, and that reply."""

    question: str
    reply: str


def read_turns(value: Any) -> tuple[ChatTurn, ...] | None:
    """Return the turns of a chat column, or `None` when it does not hold any: a list of dictionaries with known roles.

    Raises:
        BadRowError: for a turn with an image or the like.
    """
    if not isinstance(value, list) or not value:
        return None
    turns = [_turn(item) for item in value]
    return None if any(turn is None for turn in turns) else tuple(turn for turn in turns if turn is not None)


def last_question(turns: tuple[ChatTurn, ...]) -> str:
    """Return the last user turn; empty when there is none."""
    return next((turn.content for turn in reversed(turns) if turn.role == "user"), "")


def last_exchange(turns: tuple[ChatTurn, ...]) -> Exchange | None:
    """Return the final assistant turn with the last user turn before it; `None` when there is no assistant turn."""
    ends = [index for index, turn in enumerate(turns) if turn.role == "assistant"]
    return Exchange(last_question(turns[: ends[-1]]), turns[ends[-1]].content) if ends else None


def _turn(item: Any) -> ChatTurn | None:
    if not isinstance(item, dict):
        return None
    role = ROLES.get(str(item.get("role") or item.get("from")).lower())
    content = item["content"] if item.get("content") is not None else item.get("value")
    text = "" if content is None and item.get("tool_calls") else _text(content)
    return ChatTurn(role, text) if role and text is not None else None


def _text(content: Any) -> str | None:
    """Return the text of a turn, which may stand in parts."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    if any(isinstance(part, dict) and part.get("type", "text") not in TEXT_PARTS for part in content):
        raise BadRowError("a message has a part that is no text, which no model is shown")
    texts = [part.get("text") if isinstance(part, dict) else part for part in content]
    known = [text for text in texts if isinstance(text, str)]
    return "\n".join(known) if len(known) == len(texts) else None
