"""Leaving out a model's reasoning: from whole texts, and from one that comes in pieces."""

from __future__ import annotations

import re

_END_OF_CHANNEL = "<|end|>"
_TAGS = (
    *("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "analysis", "cot"),
    *("chain_of_thought", "inner_monologue"),
)
_MARKS = (
    *((f"<{tag}>", f"</{tag}>") for name in _TAGS for tag in (name, name.capitalize(), name.upper())),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", _END_OF_CHANNEL),
    ("<|channel|>commentary<|message|>", _END_OF_CHANNEL),
)
"""Marks that models write before and after their reasoning, for whole texts and for those in pieces."""

_FINAL_CHANNEL = re.compile(r"<\|channel\|>\s*final\s*(?:<\|constrain\|>\w+\s*)?<\|message\|>")
# Channel marks that a tokenizer dropped, leaving their names.
_BARE_CHANNELS = re.compile(r"analysis(?=\S).*?assistantfinal", re.DOTALL)
_CHANNEL_MARKS = re.compile(r"<\|(?:start|end|return|channel|message)\|>(?:assistant)?")

_CLOSINGS = dict(_MARKS)
_OUTSIDE = re.compile(
    rf"(?P<opening>{'|'.join(re.escape(opening) for opening in _CLOSINGS)})"
    rf"|{_FINAL_CHANNEL.pattern}|{_CHANNEL_MARKS.pattern}"
)
"""Whatever is not shown of a text outside of its reasoning."""


def _beginnings(mark: str) -> str:
    return "|".join(re.escape(mark[:size]) for size in range(len(mark) - 1, 0, -1))


_PERHAPS = re.compile(
    rf"(?:{'|'.join(_beginnings(opening) for opening in _CLOSINGS)}"
    rf"|{'|'.join(_beginnings(f'<|{name}|>assistant') for name in ('start', 'end', 'return', 'channel', 'message'))}"
    # A channel's name, up to the mark after which its text begins.
    r"|<\|channel\|>[^<]{0,20}(?:<\|constrain\|>[^<]{0,20})?(?:<[|a-z]{0,11})?)\Z"
)
"""The end of a text that the next letters may make a mark of."""
_BARE_NAME = "analysis"


class ReasoningFilter:
    """Lets through what stands outside of reasoning, as soon as it cannot be the beginning of a mark.

    Knows the marks that `strip_reasoning` knows. White space before the first visible letter is dropped. A block that
    the prompt opened is not known as one until it is closed, when it has been let through already: switch thinking off
    for such models.
    """

    def __init__(self) -> None:
        self._held = ""
        self._closing: str | None = None
        self._begun = False
        self._may_be_bare = True

    def feed(self, piece: str) -> str:
        """Take the next piece of the text, and return what became visible."""
        self._held += piece
        return "" if self._waits_for_bare_channel() else self._shown()

    def end(self) -> str:
        """Return the text that was held back as the possible beginning of a mark, unless a block is open."""
        self._may_be_bare = False
        shown = self._shown()
        rest = "" if self._closing else _CHANNEL_MARKS.sub("", self._held)
        self._held = ""
        return shown + self._without_leading_space(rest)

    def _shown(self) -> str:
        shown = ""
        while (mark := self._next_mark()) is not None:
            before, self._held, closing = mark
            shown += "" if self._closing else before
            self._closing = closing
        if self._closing:
            self._held = self._held[len(self._held) - beginning(self._held, self._closing) :]
        else:
            place = self._undecided()
            shown, self._held = shown + self._held[:place], self._held[place:]
        return self._without_leading_space(shown)

    def _next_mark(self) -> tuple[str, str, str | None] | None:
        """Return what stands before and after the next mark, and what closes the block that it opens, if it does."""
        if self._closing:
            before, found, after = self._held.partition(self._closing)
            return (before, after, None) if found else None
        match = _OUTSIDE.search(self._held)
        if match is None or match.start() >= self._undecided():
            return None
        return self._held[: match.start()], self._held[match.end() :], _CLOSINGS.get(match["opening"])

    def _undecided(self) -> int:
        match = _PERHAPS.search(self._held)
        return len(self._held) if match is None else match.start()

    def _waits_for_bare_channel(self) -> bool:
        """Cut off a first channel whose marks are missing; return whether the text may yet turn out to have one."""
        if not self._may_be_bare:
            return False
        text = self._held.lstrip()
        if bare := _BARE_CHANNELS.match(text):
            self._held, self._may_be_bare = text[bare.end() :], False
            return False
        named = text.startswith(_BARE_NAME) and not text[len(_BARE_NAME) :][:1].isspace()
        self._may_be_bare = named or _BARE_NAME.startswith(text)
        return self._may_be_bare

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
