"""Numbers written out in English, up to the thousands: "twelve", "forty-two", "three hundred and five", "one half"."""

from __future__ import annotations

import re
from fractions import Fraction

_UNITS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SMALL = {word: value for value, word in enumerate(_UNITS)} | {
    word: 10 * value for value, word in enumerate(_TENS, start=2)
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6}
_PARTS = {"half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4}

_WORD = "|".join(sorted([*_SMALL, *_SCALES], key=len, reverse=True))
NUMBER_WORDS = re.compile(
    rf"\b(?=[zotfsenhm])(?:{_WORD})(?:(?:[\s-]+|\s+and\s+)(?:{_WORD}))*\b(?:[\s-]+(?:{'|'.join(_PARTS)})\b)?|\bhalf\b",
    re.IGNORECASE,
)


def words_to_number(text: str) -> Fraction | None:
    """Return the value of a phrase that `NUMBER_WORDS` matches as a whole; `None` for anything else ("two seven")."""
    if NUMBER_WORDS.fullmatch(text.strip()) is None:
        return None
    words = [word for word in re.split(r"[\s-]+", text.strip().lower()) if word != "and"]
    under = _PARTS.get(words[-1])
    counted = words[:-1] if under else words
    over = _count(counted) if counted else 1
    return None if over is None else Fraction(over, under or 1)


def _count(words: list[str]) -> int | None:
    total = group = 0
    previous = ""
    for word in words:
        if word in _SCALES:
            group = max(group, 1) * _SCALES[word]
            total, group = (total + group, 0) if word != "hundred" else (total, group)
        elif previous in _SMALL and not (_SMALL[previous] >= 20 and 0 < _SMALL[word] < 10):
            return None
        else:
            group += _SMALL[word]
        previous = word
    return total + group
