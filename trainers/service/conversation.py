"""The messages of a request: what a teacher is told of them, and where its teaching goes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trainers.service.errors import BadRequest

Message = Mapping[str, Any]

_SYSTEM = ("system", "developer")
_SPEAKERS = {"user": "User", "assistant": "Assistant", "tool": "Tool", "function": "Tool"}


@dataclass(frozen=True)
class Conversation:
    """A client's messages, which hold at least one of the user.

    The last message of the user begins a *user turn*; what follows it are the student's own calls of tools, their
    results, or the beginning of an answer.
    """

    messages: tuple[Message, ...]

    @property
    def system(self) -> str | None:
        """Return what the system says to the student; `None` when it says nothing."""
        said = [told(message) for message in self.messages if message["role"] in _SYSTEM]
        return "\n\n".join(said) or None

    @cached_property
    def last_user(self) -> int:
        """Place of the user's last message."""
        return max(place for place, message in enumerate(self.messages) if message["role"] == "user")

    @property
    def goes_on(self) -> bool:
        """True when something follows the user's last message."""
        return self.last_user < len(self.messages) - 1

    @property
    def to_continue(self) -> bool:
        """True when the last message is the beginning of the answer."""
        return self.messages[-1]["role"] == "assistant"

    @property
    def turn_began(self) -> tuple[Message, ...]:
        """The messages up to the user's last one, by which a user turn is known again."""
        return self.messages[: self.last_user + 1]

    @property
    def question(self) -> str:
        """Return what the teacher is asked about: the conversation up to the user's last message."""
        return _told_as_one(self.turn_began)

    @property
    def in_full(self) -> str:
        """The whole conversation as one text, for a student that takes nothing else."""
        return _told_as_one(self.messages)

    @property
    def asked(self) -> str:
        """The text of the user's last message, without what is none."""
        content = self.messages[self.last_user].get("content")
        return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())

    def with_words(self, words: str) -> list[Message]:
        """Return the messages with other words in the user's last one, whose images and the like stay."""
        message = self.messages[self.last_user]
        content = message.get("content")
        if isinstance(content, list):
            others = [part for part in content if part.get("type") != "text"]
            content = [*others, {"type": "text", "text": words}]
        else:
            content = words
        changed = {**message, "content": content}
        return [*self.messages[: self.last_user], changed, *self.messages[self.last_user + 1 :]]


def read_conversation(messages: Any) -> Conversation:
    """Read the messages of a request.

    Raises:
        BadRequest: when they are none, malformed, or hold none of the user.
    """
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a list with at least one message.")
    for message in messages:
        _check(message)
    if not any(message["role"] == "user" for message in messages):
        raise BadRequest("One of the messages must be the user's.")
    return Conversation(tuple(messages))


def told(message: Message) -> str:
    """Return a message as text, with the tools that it calls, and with the kinds of what is no text."""
    content = message.get("content")
    texts = [content] if isinstance(content, str) else [_part(part) for part in _parts(message)]
    calls = [f"(calls {call.get('name')} with {call.get('arguments')})" for call in _calls(message)]
    return "\n".join(["".join(texts), *calls] if calls and any(texts) else calls or ["".join(texts)])


def part_types(message: Message) -> list[str]:
    """Return the kinds of the parts that a message's content is a list of."""
    return [part["type"] for part in _parts(message)]


def _check(message: Any) -> None:
    role = message.get("role") if isinstance(message, Mapping) else None
    if role not in (*_SYSTEM, *_SPEAKERS):
        raise BadRequest("Every message needs a role: system, developer, user, assistant or tool.")
    content, calls = message.get("content"), _calls(message)
    if isinstance(content, list):
        if not all(isinstance(part, Mapping) and isinstance(part.get("type"), str) for part in content):
            raise BadRequest("Every part of a message's content needs a type.")
        if not all(isinstance(part.get("text"), str) for part in content if part["type"] == "text"):
            raise BadRequest("A part of type text needs a text.")
    elif not isinstance(content, str) and not (content is None and role == "assistant" and calls):
        raise BadRequest(f"The content of the message of role {role} must be a text or a list of parts.")


def _parts(message: Message) -> Sequence[Mapping[str, Any]]:
    content = message.get("content")
    return content if isinstance(content, list) else ()


def _part(part: Mapping[str, Any]) -> str:
    return part["text"] if part["type"] == "text" else f"[{part['type']}]"


def _calls(message: Message) -> list[Mapping[str, Any]]:
    calls = message.get("tool_calls") or ()
    if not isinstance(calls, Sequence) or not all(isinstance(call, Mapping) for call in calls):
        raise BadRequest("tool_calls must be a list of objects.")
    functions = [*(call.get("function") for call in calls), message.get("function_call")]
    return [function for function in functions if isinstance(function, Mapping)]


def _told_as_one(messages: Sequence[Message]) -> str:
    """Return one message by itself, several with who says them; the system's are not among them."""
    turns = [message for message in messages if message["role"] in _SPEAKERS]
    if len(turns) == 1:
        return told(turns[0])
    return "\n\n".join(f"{_SPEAKERS[message['role']]}: {told(message)}" for message in turns)


def tools_told(tools: Any) -> str:
    """Return the tools of a request as one line for the teacher; empty without any."""
    declared = [tool.get("function", tool) for tool in tools or () if isinstance(tool, Mapping)]
    lines = [
        f"{tool.get('name')}: {tool.get('description') or json.dumps(tool.get('parameters'))}"
        for tool in declared
        if isinstance(tool, Mapping)
    ]
    return "Tools at hand:\n" + "\n".join(lines) if lines else ""
