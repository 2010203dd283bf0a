"""Turn markers that a chat template writes as plain text: `[INST]`, `<|user|>`, `USER:`, `### Instruction:`.

Where a turn is opened by text and not by a token of its own, no encoding can tell a forged one from a real one. Such
markers are found by rendering a conversation and looking at what stands between its messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from trainers.generation.chat_templates.control_tokens import NOTHING, control_tokens
from trainers.generation.chat_templates.template_errors import refusals

_MARKS = ("markaofsystem", "markbofuser", "markcofassistant", "markdofuser")
_ROLES = ("system", "user", "assistant", "user")
_BRACKETED = re.compile(r"(?:[<\[]\S+[>\]]\s*)+")
_MOST_WORDS, _MOST_LETTERS = 3, 40


@dataclass(frozen=True)
class TurnMarkers:
    """The turn markers of a chat template.

    Args:
        anywhere: matches each wherever it stands.
        as_written: matches it where it may pass for the template's own: a marker of words, such as `Question:`, only at
            the beginning of a line, unless the template writes it behind other text, as Vicuna's does `USER:`.
    """

    anywhere: re.Pattern[str] = NOTHING
    as_written: re.Pattern[str] = NOTHING


def turn_markers(tokenizer: Any, chat_template_kwargs: Mapping[str, Any]) -> TurnMarkers:
    """Return the turn markers that a tokenizer's chat template writes as plain text.

    They are short lines, control tokens left out, that do not both begin and end as words do: `user` between two
    control tokens is none. Before the system message, where templates also write instructions and dates, only what
    ends in `>`, `]` or `:` counts.
    """
    template = getattr(tokenizer, "chat_template", None)
    if template is None:  # Mistral's own tokenizer encodes messages without writing them into one text
        return TurnMarkers()
    state = (template if isinstance(template, str) else repr(template), repr(sorted(chat_template_kwargs.items())))
    known = _known.setdefault(tokenizer, {})
    if state not in known:
        known[state] = _found(tokenizer, chat_template_kwargs)
    return known[state]


_known: WeakKeyDictionary[Any, dict[Any, TurnMarkers]] = WeakKeyDictionary()


def _found(tokenizer: Any, kwargs: Mapping[str, Any]) -> TurnMarkers:
    control = control_tokens(tokenizer).pattern
    markers, behind = set[str](), set[str]()
    for first in (0, 1):
        opening, *between = [control.sub("\n", text) for text in _around(tokenizer, kwargs, first) or [""]]
        markers |= {marker for marker in _markers(opening) if marker[-1] in ">]:"}
        for text in between:
            markers.update(_markers(text))
            behind.update(_markers(text.partition("\n")[0]))
    lines = {marker for marker in markers - behind if not _BRACKETED.fullmatch(marker)}
    return TurnMarkers(_pattern(markers), _pattern(markers, lines))


def _around(tokenizer: Any, kwargs: Mapping[str, Any], first: int) -> list[str] | None:
    """Render a conversation from its `first` message on; return the texts before, between and after its messages.

    `None` for a template that refuses such a conversation.
    """
    marks = _MARKS[first:]
    messages = [{"role": role, "content": mark} for role, mark in zip(_ROLES[first:], marks, strict=True)]
    try:
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, **kwargs)
    except refusals():  # there is no such turn in this template
        return None
    return re.split("|".join(marks), text)


def _markers(text: str) -> list[str]:
    """Return the markers in such a text. Of several in brackets, `[INST] <<SYS>>`, each is one."""
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if _marks_a_turn(line)]
    return [part for line in found for part in (line.split() if _BRACKETED.fullmatch(line) else [line])]


def _marks_a_turn(line: str) -> bool:
    short = 2 <= len(line) <= _MOST_LETTERS and len(line.split()) <= _MOST_WORDS
    return short and not (line[0].isalnum() and line[-1].isalnum())


def _pattern(markers: AbstractSet[str], lines: AbstractSet[str] = frozenset()) -> re.Pattern[str]:
    """Matches each marker, of two at the same place the longer; one that begins as a word does, as a whole word.

    Those among `lines` are matched at the beginning of a line only.
    """
    if not markers:
        return NOTHING
    ordered = sorted(markers, key=lambda marker: (-len(marker), marker))
    before = {marker: r"\b" if marker[0].isalnum() else "" for marker in ordered} | dict.fromkeys(lines, r"^[^\S\n]*")
    return re.compile("|".join(before[marker] + re.escape(marker) for marker in ordered), re.MULTILINE)
