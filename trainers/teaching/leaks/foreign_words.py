"""Numbers from 13 to 99 written out in German, French, Spanish, Italian and Portuguese.

Smaller ones are left out: too many of them are other words as well, and such small answers are seldom told from chance.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction
from functools import cache

_HINT = re.compile(
    r"zehn|[zß]ig|ssig|treiz|quatorz|quinz|seiz|dix|vingt|trent|quar|cinqu|soixant|trec|catorc|quinc|dieci|veint|treint|"
    r"cuar|cincu|sesent|setent|ochent|novent|vent|sessant|settant|ottant|novant|dici|trez|dez|vint|trint|oitent",
    re.IGNORECASE,
)
"""A part of each of the words: most texts have none, and are not looked at again."""


def foreign_words(text: str) -> Iterator[tuple[int, int, Fraction]]:
    """Yield where such numbers begin and end, and their values."""
    if _HINT.search(text):
        pattern, values = _known()
        for match in pattern.finditer(text):
            yield match.start(), match.end(), Fraction(values[_spelling(match[0])])


@cache
def _known() -> tuple[re.Pattern[str], dict[str, int]]:
    numbers = (*_german(), *_french(), *_spanish(), *_italian(), *_portuguese())
    values = {_spelling(word): value for word, value in numbers}
    spellings = {*values, *(_without_accents(word) for word in values)}
    values |= {_without_accents(word): value for word, value in values.items()}
    longest_first = sorted(map(re.escape, spellings), key=len, reverse=True)
    words = "|".join(word.replace(r"\ ", r"[\s-]") for word in longest_first)
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE), values


def _spelling(word: str) -> str:
    return re.sub(r"[\s-]", " ", word.lower())


def _without_accents(word: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFD", word) if not unicodedata.combining(letter))


def _words(text: str) -> list[str]:
    return text.split()


def _german() -> Iterator[tuple[str, int]]:
    units = _words("ein zwei drei vier fünf sechs sieben acht neun")
    yield from zip(_words("dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn"), range(13, 20), strict=True)
    for ten, word in enumerate(_words("zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig"), start=2):
        for spelled in {word, word.replace("ß", "ss")}:
            yield spelled, 10 * ten
            yield from ((f"{unit}und{spelled}", 10 * ten + value) for value, unit in enumerate(units, start=1))


def _french() -> Iterator[tuple[str, int]]:
    below_twenty = _words(
        "un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept dix-huit "
        "dix-neuf"
    )
    # Not seize, which is an English word.
    yield from ((word, value) for value, word in enumerate(below_twenty, start=1) if value > 12 and value != 16)
    for ten, word in zip((20, 30, 40, 50), _words("vingt trente quarante cinquante"), strict=True):
        yield word, ten
        yield f"{word} et un", ten + 1
        yield from ((f"{word} {unit}", ten + value) for value, unit in enumerate(below_twenty[:9], start=1))
    for twenties, word in ((60, "soixante"), (80, "quatre vingt")):
        yield from ((f"{word}{plural}", twenties) for plural in ("", "s"))
        yield from ((f"{word} et {unit}", twenties + value) for unit, value in (("un", 1), ("onze", 11)))
        yield from ((f"{word} {unit}", twenties + value) for value, unit in enumerate(below_twenty, start=1))


def _spanish() -> Iterator[tuple[str, int]]:
    units = _words("uno dos tres cuatro cinco seis siete ocho nueve")
    yield from zip(_words("trece catorce quince"), (13, 14, 15), strict=True)
    yield from ((f"dieci{unit}", 10 + value) for value, unit in enumerate(units, start=1) if value > 5)
    yield from (("dieciséis", 16), ("veinte", 20), ("veintidós", 22), ("veintitrés", 23), ("veintiséis", 26))
    yield from ((f"veinti{unit}", 20 + value) for value, unit in enumerate(units, start=1))
    for ten, word in enumerate(_words("treinta cuarenta cincuenta sesenta setenta ochenta noventa"), start=3):
        yield word, 10 * ten
        yield from ((f"{word} y {unit}", 10 * ten + value) for value, unit in enumerate(units, start=1))


def _italian() -> Iterator[tuple[str, int]]:
    units = _words("uno due tre quattro cinque sei sette otto nove")
    teens = _words("tredici quattordici quindici sedici diciassette diciotto diciannove")
    yield from zip(teens, range(13, 20), strict=True)
    for ten, word in enumerate(_words("venti trenta quaranta cinquanta sessanta settanta ottanta novanta"), start=2):
        yield word, 10 * ten
        for value, unit in enumerate(units, start=1):
            yield (word[:-1] if unit[0] in "uo" else word) + unit.replace("tre", "tré"), 10 * ten + value


def _portuguese() -> Iterator[tuple[str, int]]:
    units = _words("um dois três quatro cinco seis sete oito nove")
    yield from zip(_words("treze catorze quatorze quinze"), (13, 14, 14, 15), strict=True)
    for link in "ea":
        yield from ((f"dez{link}{word}", value) for word, value in (("sseis", 16), ("ssete", 17), ("nove", 19)))
    yield "dezoito", 18
    for ten, word in enumerate(_words("vinte trinta quarenta cinquenta sessenta setenta oitenta noventa"), start=2):
        yield word, 10 * ten
        yield from ((f"{word} e {unit}", 10 * ten + value) for value, unit in enumerate(units, start=1))
