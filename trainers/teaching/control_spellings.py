"""Control tokens spelled out in text: how chat models are told where a turn ends and who speaks next.

A text of a model or of a data set that spells one may pass for a turn of the conversation that it is put into. Models
whose tokenizers we have read such a text as text, whatever it spells (`trainers.serving`); here is what is known of all
others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

WELL_KNOWN = re.compile(
    r"<\|[^\s<>|]{3,64}\|>"  # ChatML, Llama 3, Phi, GLM, Zephyr, Granite, Command R, harmony
    r"|<\|\w{3,64}>|<\w{3,64}\|>"  # Gemma 4
    r"|<\uff5c[^\s<>\uff5c]{3,64}\uff5c>"  # DeepSeek, with bars of full width
    r"|<(?:start|end)_of_turn>"  # Gemma
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS)\]|\[TOOL_CALLS\]|<</?SYS>>"  # Llama 2, Mistral
    r"|</?s>|<[be]os>"
    r"|</?(?:think|tool_call|tool_response)>"  # Qwen
)
"""What families of chat models are known to be controlled by."""

Span = tuple[int, int]


@runtime_checkable
class ControlAware(Protocol):
    """A model that knows by what its conversations are controlled."""

    def spells_control(self, text: str) -> bool:
        """Return whether a text spells one of this model's control tokens or turn markers."""
        ...


def forges_turns(text: str, *models: object) -> bool:
    """Return whether a text spells a control token: a well-known one, or one that a model says is its own."""
    aware = (model for model in models if isinstance(model, ControlAware))
    return WELL_KNOWN.search(text) is not None or any(model.spells_control(text) for model in aware)


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
