"""Ending a text where its client wants it to end, while it comes in pieces."""

from __future__ import annotations

from collections.abc import Sequence

from trainers.generation.reasoning import beginning


class StopStrings:
    """Lets a text through up to the first of some strings, which is left out, as soon as none can have begun.

    `met` says whether one was there; nothing comes after it.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self.met = False
        self._strings = tuple(strings)
        self._held = ""

    def feed(self, piece: str) -> str:
        """Take the next piece of the text, and return what may be shown now."""
        if self.met:
            return ""
        text = self._held + piece
        places = [place for string in self._strings if (place := text.find(string)) >= 0]
        self.met = bool(places)
        shown = min(places) if places else len(text) - max((beginning(text, s) for s in self._strings), default=0)
        self._held = "" if self.met else text[shown:]
        return text[:shown]

    def end(self) -> str:
        """Return the text that was held back as the possible beginning of a stop string."""
        rest, self._held = self._held, ""
        return rest


def cut(text: str, strings: Sequence[str]) -> tuple[str, bool]:
    """Return a whole text up to the first of the strings, and whether one was there."""
    stops = StopStrings(strings)
    return stops.feed(text) + stops.end(), stops.met
