"""Control tokens spelled out in text: how chat models are told where a turn ends and who speaks next.

A text of a model or of a data set that spells one may pass for a turn of the conversation that it is put into. Models
whose tokenizers we have know by what theirs are controlled, and read such a text as text, whatever it spells
(`trainers.serving`); here is what is known of all others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

_TURNS = (
    r"<\|[^\s<>|]{3,64}\|>"  # ChatML, Llama 3, Phi, GLM, Zephyr, Granite, Command R, harmony
    r"|<\|\w{3,64}>|<\w{3,64}\|>"  # Gemma 4
    r"|<\uff5c[^\s<>\uff5c]{3,64}\uff5c>"  # DeepSeek, with bars of full width
    r"|<(?:start|end)_of_turn>"  # Gemma
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS)\]|\[TOOL_CALLS\]|<</?SYS>>"  # Llama 2, Mistral
    r"|</?(?:think|tool_call|tool_response)>"  # Qwen
)
_BOUNDS = r"</?s>|<[be]os>"

OPENS_TURNS = re.compile(_TURNS)
"""Spellings that tell chat models of some family who speaks next. Program code and web pages write none of it."""
WELL_KNOWN = re.compile(f"{_TURNS}|{_BOUNDS}")
"""Spellings that control some family of chat models: also the bounds of a sequence, which open no turn."""

Span = tuple[int, int]


@runtime_checkable
class ControlAware(Protocol):
    """A model that knows by what its conversations are controlled."""

    def spells_control(self, text: str) -> bool:
        """Return whether a text spells one of this model's control tokens, or a turn marker as its template does."""
        ...


def forges_turns(text: str, *models: object) -> bool:
    """Return whether a text may pass for a turn with one of these models: by its own word, or else as some family's."""
    return any(
        model.spells_control(text) if isinstance(model, ControlAware) else OPENS_TURNS.search(text) is not None
        for model in models
    )


def spans_of(spellings: re.Pattern[str], text: str) -> list[Span]:
    """Return where a text holds any of the spellings, from start to end."""
    return [match.span() for match in spellings.finditer(text)]


def broken(text: str, spans: Iterable[Span]) -> str:
    """Return the text with a space in each of these spellings, so that it is none and can still be read.

    The space follows the first character, `< |im_end|>`; in a marker that begins as a word or a heading does it stands
    before the last, `USER :`.
    """
    parts, end = [], 0
    for start, stop in spans:
        at = stop - 1 if text[start].isalnum() or text[start] == "#" else start + 1
        parts += [text[end:at], " "]
        end = at
    return "".join([*parts, text[end:]])
