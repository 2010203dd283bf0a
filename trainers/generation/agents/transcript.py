"""A conversation that paused: as a text for others to read, as a prompt to go on with, and put together again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from trainers.generation.types import Completion, Message, Prompt, ToolCall, Turn


def transcript(turns: Sequence[Turn]) -> str:
    """Return what an agent has done so far: its words, and each call of a tool with what it gave back."""
    return "\n".join(_lines(turns))


def resumed(prompt: Prompt, done: Completion, told: str | None) -> Prompt:
    """Return a prompt that goes on after a pause.

    Args:
        prompt: what was asked.
        done: the conversation up to its pause.
        told: what the agent is told before it goes on; `None` for nothing.
    """
    messages = [Message(turn.role, turn.text, turn.calls, turn.call) for turn in done.turns]
    if told is not None:
        messages.append(Message("user", told))
    own = sum(turn.role == "assistant" for turn in done.turns)
    return replace(prompt, messages=(*prompt.messages, *messages), pause_at=None, turns_taken=prompt.turns_taken + own)


def joined(done: Completion, told: str | None, rest: Completion) -> Completion:
    """Return the two parts of a conversation as one completion, with what was said in between as a turn."""
    between = () if told is None else (Turn("user", told),)
    return replace(rest, reported_tokens=done.tokens + rest.tokens, turns=(*done.turns, *between, *rest.turns))


def _lines(turns: Sequence[Turn]) -> Iterator[str]:
    for turn in turns:
        if turn.role == "tool" and turn.call is not None:
            yield f"{_written(turn.call)} → {turn.text}"
        elif turn.text:
            yield turn.text


def _written(call: ToolCall) -> str:
    """Return a call as people write it, in no form in which a model would ask for it."""
    return f"{call.name}({json.dumps(dict(call.arguments), ensure_ascii=False)})"
