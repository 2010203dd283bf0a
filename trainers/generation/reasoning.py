"""Leaving out a model's reasoning while its text comes in pieces; `prompts.strip_reasoning` does it for whole texts."""

from __future__ import annotations

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
