"""Chat rows: `conversations` (from/value) and `messages` (role/content), as lists of turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
}
"""How chat data calls the speakers."""


@dataclass(frozen=True)
class Turn:
    """One turn: `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Exchange:
    """The end of a conversation: the last question before the final reply, and that reply."""

    question: str
    reply: str


def read_turns(value: Any) -> tuple[Turn, ...] | None:
    """Return the turns of a chat column, dictionaries with known roles, or `None` when it does not hold any."""
    if not isinstance(value, list) or not value:
        return None
    turns = [_turn(item) for item in value]
    return None if any(turn is None for turn in turns) else tuple(turn for turn in turns if turn is not None)


def last_question(turns: tuple[Turn, ...]) -> str:
    """Return the last user turn; empty when there is none."""
    return next((turn.content for turn in reversed(turns) if turn.role == "user"), "")


def last_exchange(turns: tuple[Turn, ...]) -> Exchange | None:
    """Return the final assistant turn with the last user turn before it; `None` when there is no assistant turn."""
    ends = [index for index, turn in enumerate(turns) if turn.role == "assistant"]
    return Exchange(last_question(turns[: ends[-1]]), turns[ends[-1]].content) if ends else None


def _turn(item: Any) -> Turn | None:
    if not isinstance(item, dict):
        return None
    role = ROLES.get(str(item.get("role", item.get("from"))).lower())
    content = item.get("content", item.get("value"))
    return Turn(role, content) if role and isinstance(content, str) else None
