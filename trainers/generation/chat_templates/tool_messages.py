"""Messages as chat templates take them: those of agents with the tool calls that they ask for or answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from trainers.generation.types import Message, ToolCall


def message_record(message: Message) -> dict[str, Any]:
    """Return a message as templates know it, in the form of OpenAI's but with arguments that are no text."""
    record: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.calls:
        record["tool_calls"] = [
            {"type": "function", "id": call.id, "function": {"name": call.name, "arguments": dict(call.arguments)}}
            for call in message.calls
        ]
    if message.call is not None:
        record |= {"name": message.call.name, "tool_call_id": message.call.id}
    return record


def with_calls_as(message: Message, changed: Callable[[str], str]) -> Message:
    """Return a message in whose tool calls every text, names among them, is replaced by what a function makes of it."""
    if not message.calls and message.call is None:
        return message
    calls = tuple(_call_as(call, changed) for call in message.calls)
    return replace(message, calls=calls, call=_call_as(message.call, changed) if message.call else None)


def _call_as(call: ToolCall, changed: Callable[[str], str]) -> ToolCall:
    arguments = {changed(name): _value_as(value, changed) for name, value in call.arguments.items()}
    return replace(call, name=changed(call.name), arguments=arguments)


def _value_as(value: Any, changed: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return changed(value)
    if isinstance(value, dict):
        return {changed(name): _value_as(item, changed) for name, item in value.items()}
    return [_value_as(item, changed) for item in value] if isinstance(value, list) else value
