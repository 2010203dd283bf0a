"""Tool calls in the wire format of `/v1/chat/completions`: pure functions to messages, and from answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trainers.generation.types import MalformedResponse, Message, ToolCall

UNREADABLE = "_unreadable_"
"""Name under which arguments that are no JSON object are kept, for whoever tells the model so."""


def message_sent(message: Message, text: str) -> dict[str, Any]:
    """Return a message as APIs take it, `text` in place of its content."""
    sent: dict[str, Any] = {"role": message.role, "content": text}
    if message.calls:
        sent["tool_calls"] = [
            {"type": "function", "id": call.id, "function": {"name": call.name, "arguments": written(call)}}
            for call in message.calls
        ]
    if message.call is not None:
        sent["tool_call_id"] = message.call.id
    return sent


def written(call: ToolCall) -> str:
    """Return the arguments of a call as JSON; those that were none as they came."""
    unreadable = call.arguments.get(UNREADABLE)
    return unreadable if isinstance(unreadable, str) else json.dumps(call.arguments, ensure_ascii=False)


def read_calls(listed: Any) -> tuple[ToolCall, ...]:
    """Return the tool calls of an answer; none where it has no such list.

    Raises:
        MalformedResponse: when it is no list of calls. Arguments are the model's own writing, and may be anything.
    """
    try:
        return tuple(_read(call["function"], call.get("id")) for call in listed or ())
    except (AttributeError, KeyError, TypeError) as error:
        raise MalformedResponse(f"its tool calls cannot be read ({error!r})") from error


def _read(function: Mapping[str, Any], number: Any) -> ToolCall:
    return ToolCall(str(function["name"]), read_arguments(function.get("arguments")), str(number or ""))


def read_arguments(given: Any) -> Mapping[str, Any]:
    """Return arguments as a model wrote them, an object or its JSON; what is neither under `UNREADABLE`."""
    if isinstance(given, str):
        try:
            found = json.loads(given) if given.strip() else {}
        except (ValueError, RecursionError):
            found = given
    else:
        found = {} if given is None else given
    return found if isinstance(found, dict) else {UNREADABLE: given if isinstance(given, str) else json.dumps(given)}
