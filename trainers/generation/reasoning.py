"""Leaving out a model's reasoning: from whole texts, and from one that comes in pieces."""

from __future__ import annotations

import re

_END_OF_CHANNEL = "<|end|>"
_MARKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", _END_OF_CHANNEL),
    ("<|channel|>commentary<|message|>", _END_OF_CHANNEL),
)
"""Marks that models write before and after their reasoning."""

_FINAL_CHANNEL = re.compile(r"<\|channel\|>\s*final\s*(?:<\|constrain\|>\w+\s*)?<\|message\|>")
# Channel marks that a tokenizer dropped, leaving their names.
_BARE_CHANNELS = re.compile(r"analysis(?=\S).*?assistantfinal", re.DOTALL)
_CHANNEL_MARKS = re.compile(r"<\|(?:start|end|return|channel|message)\|>(?:assistant)?")

_OPEN, _CLOSE = "<think>", "</think>"


class ReasoningFilter:
    """Lets through what stands outside of `<think>…</think>`, as soon as it cannot be the beginning of a tag.

    White space before the first visible letter is dropped. A block that the prompt opened is not known as one until it
    is closed, when it has been let through already: switch thinking off for such models.
    """

    def __init__(self) -> None:
        self._held = ""
        self._inside = False
        self._begun = False

    def feed(self, piece: str) -> str:
        """Take the next piece of the text, and return what became visible."""
        self._held += piece
        shown = ""
        while True:
            tag = _CLOSE if self._inside else _OPEN
            before, found, after = self._held.partition(tag)
            if not found:
                break
            shown += "" if self._inside else before
            self._held, self._inside = after, not self._inside
        kept = beginning(self._held, tag)
        if not self._inside:
            shown += self._held[: len(self._held) - kept]
        self._held = self._held[len(self._held) - kept :]
        return self._without_leading_space(shown)

    def end(self) -> str:
        """Return the text that was held back as the possible beginning of a tag, unless a block is open."""
        rest = "" if self._inside else self._held
        self._held = ""
        return self._without_leading_space(rest)

    def _without_leading_space(self, text: str) -> str:
        if not self._begun:
            text = text.lstrip()
            self._begun = bool(text)
        return text


def beginning(text: str, tag: str) -> int:
    """Count the last letters of `text` that may be the beginning of `tag`."""
    return next((size for size in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:size])), 0)


def strip_reasoning(text: str) -> str:
    """Return the text without its reasoning, also without what the prompt opened or the budget cut off.

    Reads `<think>`, `<thinking>`, `<reasoning>`, `[THINK]` and their like, and the channels of harmony models.
    """
    for opening, closing in _MARKS:
        if closing in text or opening in text:
            text = _without_blocks(text, opening, closing)
    text = _FINAL_CHANNEL.split(text)[-1]
    if bare := _BARE_CHANNELS.match(text):
        text = text[bare.end() :]
    return _CHANNEL_MARKS.sub("", text).strip()


def strip_blocks(text: str, opening: str, closing: str) -> str:
    """Return the text without the blocks of one pair of marks."""
    return _without_blocks(text, opening, closing).strip()


def _without_blocks(text: str, opening: str, closing: str) -> str:
    text = re.sub(rf"{re.escape(opening)}.*?(?:{re.escape(closing)}|\Z)", "", text, flags=re.DOTALL)
    return text if closing == _END_OF_CHANNEL else text.rpartition(closing)[2]
