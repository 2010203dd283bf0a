"""Numbers with what is written around them: currency signs, percent signs, units, counted things."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from trainers.teaching.verifiers.mathematics.number_words import NUMBER_WORDS, words_to_number
from trainers.teaching.verifiers.mathematics.numbers import PlainNumber, parse_plain_number
from trainers.teaching.verifiers.mathematics.units import Unit, parse_unit

_QUANTITY = re.compile(
    r"(?P<number>[+-]?\s*(?:\d+\s+\d+\s*/\s*\d+|[\d.,]*\d\.?(?:\s*/\s*-?[\d.,]*\d)?(?:[eE][+-]?\d{1,3})?)\s*%?)\s*(?P<rest>.*)",
    re.DOTALL,
)
_REPEATING = re.compile(r"(?P<sign>-?)(?P<whole>\d*)\.(?P<fixed>\d*)\\overline\s*\{?(?P<repeated>\d+)\}?")
_SCIENTIFIC = re.compile(r"([+-]?[\d.,]+)\s*\\(?:times|cdot)\s*10\s*\^\s*\{?([+-]?\d{1,3})\}?(?!\d)(.*)", re.DOTALL)
_COMPOUND = re.compile(r"(\d+)\s*([A-Za-z]+)\.?,?\s+(?:and\s+)?(\d+(?:\.\d+)?)\s*([A-Za-z]+)\.?")
_CURRENCY = {"$": "dollars", "€": "euros", "£": "gbp", "¥": "yen", "₹": "rupees"}
_CURRENCY_SIGN = re.compile(r"(?P<minus>-?)\s*\\?(?P<symbol>[$€£¥₹])\s*")
SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_COUNTED = re.compile(r"[A-Za-z][A-Za-z'-]*(?:\s+[A-Za-z][A-Za-z'-]*){0,4}")
# Words that change the value they follow, so that they are no counted noun ("3 apples" is 3, "3 pi" is not).
NOT_COUNTED = re.compile(
    r"\b(?:out\s+of|or|and|to|not|than|pi|sqrt|sin|cos|tan|log|ln|exp|mod|over|plus|minus|times|percent|squared|cubed|hal(?:f|ves)|"
    r"(?:third|quarter|fourth|fifth|sixth|eighth|tenth|hundredth|thousandth)s?)\b"
)


@dataclass(frozen=True)
class Quantity:
    """An expression with what was written around it: currency sign, percent sign, unit."""

    expression: str
    number: PlainNumber | None
    unit: Unit | None


def read_quantity(text: str) -> Quantity:
    r"""Split "$18", "18 eggs", "12.5 km/h", "2.5 million", "50%", "0.\overline{3}" or an expression with a unit."""
    unit = None
    if sign := _CURRENCY_SIGN.match(text):
        text, unit = sign["minus"] + text[sign.end() :], parse_unit(_CURRENCY[sign["symbol"]])
    text = re.sub(r"\\?\$$", "", text).strip()
    text = re.sub(r"(?i)\s*\bper\s?cent\b", "%", text)
    if (words := words_to_number(text)) is not None:
        return Quantity(text, PlainNumber(words), unit)
    if scientific := _SCIENTIFIC.fullmatch(text):
        value = read_quantity("{}e{}{}".format(*scientific.groups()))
        if value.number is not None:
            return Quantity(value.expression, value.number, value.unit or unit)
    if (counted := _worded(text)) is not None:
        return counted
    if (compound := _COMPOUND.fullmatch(text)) and (whole := _together(compound)) is not None:
        return whole
    if repeating := _REPEATING.fullmatch(text):
        return Quantity(text, PlainNumber(_repeating_value(repeating)), unit)
    if (match := _QUANTITY.fullmatch(text)) and (number := parse_plain_number(match["number"])):
        if not match["rest"]:
            return Quantity(text, number, unit)
        if (known := _read_rest(match["rest"])) is not None:
            scale, found = known
            return Quantity(match["number"], PlainNumber(number.value * scale, number.percent), found or unit)
    expression, _, tail = text.rpartition(" ")
    if expression and len(tail) > 1 and (found := parse_unit(tail)) is not None:
        return Quantity(expression, None, found)
    return Quantity(text, None, unit)


def _worded(text: str) -> Quantity | None:
    """Read a number in words with its unit: "five apples", "seven days"."""
    lead = NUMBER_WORDS.match(text)
    number = words_to_number(lead[0]) if lead else None
    if lead is None or number is None or (known := _read_rest(text[lead.end() :].strip())) is None or known[0] != 1:
        return None
    return Quantity(text, PlainNumber(number), known[1])


def _together(match: re.Match[str]) -> Quantity | None:
    """Read "3 hours 30 minutes" as one, in the smaller unit, if the first is the larger one of the same kind."""
    large, small = parse_unit(match[2]), parse_unit(match[4])
    if large is None or small is None or large.dimensions != small.dimensions or large.size <= small.size:
        return None
    value = int(match[1]) * large.size / small.size + Fraction(match[3])
    return Quantity(match[0], PlainNumber(value), small)


def _read_rest(rest: str) -> tuple[int, Unit | None] | None:
    """Read what may follow a number: a scale ("million"), a unit, or the noun that was counted.

    Returns:
        The scale (1 without one) and the unit (`None` without one); `None` when the text is none of these.
    """
    first, _, remaining = rest.partition(" ")
    scale = SCALES.get(first.lower(), 1)
    rest = remaining if scale != 1 else rest
    if not rest or (unit := parse_unit(rest)) is not None:
        return scale, unit if rest else None
    if _COUNTED.fullmatch(rest) and len(rest.split()[0]) > 2 and not NOT_COUNTED.search(rest.lower()):
        return scale, None
    return None


def _repeating_value(match: re.Match[str]) -> Fraction:
    fixed, repeated = match["fixed"], match["repeated"]
    value = Fraction(int((match["whole"] or "0") + fixed), 10 ** len(fixed))
    value += Fraction(int(repeated), (10 ** len(repeated) - 1) * 10 ** len(fixed))
    return -value if match["sign"] else value
