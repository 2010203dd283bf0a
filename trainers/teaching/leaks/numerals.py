"""Numbers in other notations: bases, Roman numerals, Chinese ones, thousands as k, scientific, other languages."""
# ruff: noqa: RUF001 - teachings are written in these characters

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from trainers.teaching.leaks.foreign_words import foreign_words

_BASES = {"binary": 2, "octal": 8, "hexadecimal": 16, "hex": 16}
_PREFIXED = re.compile(r"\b0(?:b[01]{1,64}|o[0-7]{1,22}|x[0-9a-fA-F]{1,16})\b")
_SUBSCRIPTED = re.compile(r"(?<![\w.])\(?([0-9A-Fa-f]{1,64})\)?_\{?(\d{1,2})\}?(?!\d)")
_NAMED = re.compile(
    r"\b(?P<before>binary|octal|hexadecimal|hex)[\s:]{1,3}(?P<first>[0-9A-Fa-f]{1,64})\b"
    r"|\b(?P<second>[0-9A-Fa-f]{1,64})\s(?:in|as)\s(?P<after>binary|octal|hexadecimal|hex)\b"
    r"|\b(?P<third>[0-9A-Fa-f]{1,64})\s(?:in\s)?base[\s-](?P<base>\d{1,2})\b",
    re.IGNORECASE,
)
_ROMAN = re.compile(r"\b(?=[MDCLXVI]{2,15}\b)M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})\b")
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_CHINESE = re.compile("[零〇一二两三四五六七八九十百千万]{1,12}")
_CHINESE_DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_CHINESE_SCALES = {"十": 10, "百": 100, "千": 1000}
_SCALED = re.compile(
    r"(?<![\w.])(\d{1,15}(?:\.\d{1,15})?)\s?(?:k\b|(?:\\times|[×x*])\s?10\s?(?:\^|\*\*)\s?\{?(\d{1,2})\}?)"
)


def other_numerals(text: str) -> Iterator[tuple[int, int, Fraction]]:
    """Yield where numbers in other notations begin and end, and their values."""
    for match in _PREFIXED.finditer(text):
        yield match.start(), match.end(), Fraction(int(match[0], 0))
    for match in _SUBSCRIPTED.finditer(text):
        yield from _in_base(match, match[1], int(match[2]))
    for match in _NAMED.finditer(text):
        digits = match["first"] or match["second"] or match["third"]
        named = (match["before"] or match["after"] or "").lower()
        yield from _in_base(match, digits, _BASES.get(named) or int(match["base"]))
    for match in _ROMAN.finditer(text):
        if not match[0]:
            continue
        values = [_ROMAN_VALUES[letter] for letter in match[0]]
        signed = [-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True)]
        yield match.start(), match.end(), Fraction(sum(signed))
    for match in _CHINESE.finditer(text):
        yield match.start(), match.end(), Fraction(_chinese(match[0]))
    for match in _SCALED.finditer(text):
        yield match.start(), match.end(), Fraction(match[1]) * 10 ** int(match[2] or 3)
    yield from foreign_words(text)


def _in_base(match: re.Match[str], digits: str, base: int) -> Iterator[tuple[int, int, Fraction]]:
    if 2 <= base <= 36 and all(int(digit, 36) < base for digit in digits):
        yield match.start(), match.end(), Fraction(int(digits, base))


def _chinese(text: str) -> int:
    total = section = digit = 0
    for character in text:
        if character in _CHINESE_DIGITS:
            digit = 10 * digit + _CHINESE_DIGITS[character]
        elif character == "万":
            total, section, digit = (total + section + digit) * 10_000, 0, 0
        else:
            section, digit = section + max(digit, 1) * _CHINESE_SCALES[character], 0
    return total + section + digit
