"""Numbers with what is written around them: currency signs, percent signs, units, counted things."""

# ruff: noqa: RUF001 - patterns and tables are easier read in one line

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
SCALES = {
    "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
    "lakh": 10**5, "crore": 10**7,
}  # fmt: skip
# Words that change the value they stand beside, negate it or compare it, so that they are no part of a counted noun.
CHANGING = re.compile(
    r"(?:"
    r"\b(?:not|never|nor|neither|cannot|wrong|incorrect|false|right|correct|almost|nearly|over|under|above|below|than|"
    r"less|fewer|least|most|beyond|exceed\w*|between|out|or|and|to|up|minus|plus|times|negative|"
    r"doubled?|tripled?|quadrupled?|halved|twice|thrice|squared?|cubed?|inverse|factorial|reversed|opposite|reciprocal|"
    r"pi|sqrt|sin|cos|tan|log|ln|exp|mod|modulo|base|binary|octal|hex|hexadecimal|power|root|divided|multiplied|"
    r"increased|decreased|reduced|added|subtracted|percent|percentage|gross|score|crores?|lakhs?|dozens?|"
    r"hal(?:f|ves)|(?:third|quarter|fourth|fifth|sixth|seventh|eighth|ninth|tenth|hundredth|thousandth|millionth)s?|"
    r"(?:hundred|thousand|million|billion|trillion|quadrillion)s?|"
    r"one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|sixty|seventy|eighty|"
    r"ninety|zero|maybe|perhaps|possibly|unlikely|doubt\w*|instead|rather|except|excluding|impossible|wait|no)\b"
    r"|n['’]t\b)",
    re.IGNORECASE,
)
# Counted things that are several each, or of another kind than what is asked for, unless the question speaks of them.
_COUNTED_APART = re.compile(
    r"(?:pair|couple|duo|trio|triple|triplet|twin|quartet|quintet|brace|one|two|three|four|five|sixe?|seven|eight|nine|ten|"
    r"quarter|digit|factor|multiple|divisor|power|root|log|ratio)"
)
_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*")
_LINKS = frozenset(
    [
        "of",
        "per",
        "a",
        "an",
        "each",
        "every",
        "in",
        "for",
        "on",
        "at",
        "from",
        "with",
        "by",
        "the",
        "this",
        "that",
        "these",
        "those",
        "his",
        "her",
        "their",
        "its",
        "my",
        "our",
        "your",
        "them",
        "left",
        "remaining",
        "total",
        "altogether",
        "overall",
        "old",
        "long",
        "tall",
        "wide",
        "high",
        "deep",
        "away",
        "ago",
        "later",
        "more",
        "extra",
        "apart",
        "together",
        "available",
        "needed",
        "required",
        "needing",
        "all",
    ]
)
_OTHER_UNITS = frozenset(["nautical", "troy", "fluid", "light", "short", "long", "imperial", "square", "cubic"])
_FOR_SEVERAL = re.compile(r"\b(?:per|each|every|a|an)\b.*\d")
_EXTENTS = frozenset(["long", "tall", "wide", "high", "deep", "apart", "away"])
_CONDITIONS = frozenset(["if", "when", "where", "unless", "is", "are", "was", "were", "be"])
_IRREGULAR = frozenset(
    [
        "people",
        "children",
        "men",
        "women",
        "feet",
        "mice",
        "geese",
        "teeth",
        "sheep",
        "fish",
        "deer",
        "oxen",
        "person",
        "child",
        "man",
        "woman",
        "pages",
        "money",
        "dice",
        "cattle",
        "police",
        "pieces",
        "units",
        "points",
        "items",
        "fruit",
        "luggage",
        "furniture",
        "homework",
        "staff",
    ]
)


@dataclass(frozen=True)
class Quantity:
    """An expression with what was written around it: currency sign, percent sign, unit, counted nouns."""

    expression: str
    number: PlainNumber | None
    unit: Unit | None
    nouns: frozenset[str] = frozenset()


def read_quantity(text: str, known: frozenset[str] = frozenset()) -> Quantity:
    r"""Split "$18", "18 eggs", "12.5 km/h", "2.5 million", "50%", "0.\overline{3}" or an expression with a unit.

    Args:
        text: what `clean` returned.
        known: words of the question, which may be counted nouns ("18 aardvark").
    """
    unit = None
    if sign := _CURRENCY_SIGN.match(text):
        text, unit = sign["minus"] + text[sign.end() :], parse_unit(_CURRENCY[sign["symbol"]])
    if unit is None and text[-1:] in _CURRENCY:
        text, unit = text[:-1].removesuffix("\\").strip(), parse_unit(_CURRENCY[text[-1]])
    text = re.sub(r"(?i)\s*\b(?:per\s?cent|percentage(?! points?)|pct)\b\.?", "%", text)
    if (words := words_to_number(text)) is not None:
        return Quantity(text, PlainNumber(words), unit)
    if scientific := _SCIENTIFIC.fullmatch(text):
        value = read_quantity("{}e{}{}".format(*scientific.groups()), known)
        if value.number is not None:
            return Quantity(value.expression, value.number, value.unit or unit, value.nouns)
    if (counted := _worded(text, known)) is not None:
        return counted
    if (compound := _COMPOUND.fullmatch(text)) and (whole := _together(compound)) is not None:
        return whole
    if repeating := _REPEATING.fullmatch(text):
        return Quantity(text, PlainNumber(_repeating_value(repeating)), unit)
    if (match := _QUANTITY.fullmatch(text)) and (number := parse_plain_number(match["number"])):
        if not match["rest"]:
            return Quantity(text, number, unit)
        if (rest := _read_rest(match["rest"], known)) is not None:
            scaled = PlainNumber(
                number.value * rest.scale, number.percent, number.decimals if rest.scale == 1 else None
            )
            return Quantity(match["number"], scaled, rest.unit or unit, rest.nouns)
    expression, _, tail = text.rpartition(" ")
    if expression and len(tail) > 1 and (found := parse_unit(tail)) is not None and not _inside_function(expression):
        return Quantity(expression, None, found)
    return Quantity(text, None, unit)


def _inside_function(expression: str) -> bool:
    r"""Return True for "\sin 30", whose degrees belong to what it is the sine of."""
    return re.search(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])", expression) is not None


def _worded(text: str, known: frozenset[str]) -> Quantity | None:
    """Read a number in words with what it counts: "five apples", "seven days"."""
    lead = NUMBER_WORDS.match(text)
    number = words_to_number(lead[0]) if lead else None
    rest = _read_rest(text[lead.end() :].strip(), known) if lead and number is not None else None
    if number is None or rest is None or rest.scale != 1:
        return None
    return Quantity(text, PlainNumber(number), rest.unit, rest.nouns)


def _together(match: re.Match[str]) -> Quantity | None:
    """Read "3 hours 30 minutes" as one, in the smaller unit, if the first is the larger one of the same kind."""
    large, small = parse_unit(match[2]), parse_unit(match[4])
    if large is None or small is None or large.dimensions != small.dimensions or large.size <= small.size:
        return None
    value = int(match[1]) * large.size / small.size + Fraction(match[3])
    return Quantity(match[0], PlainNumber(value), small)


@dataclass(frozen=True)
class _Rest:
    """The words after a number: a scale (1 without one), a unit, and the nouns that were counted."""

    scale: int = 1
    unit: Unit | None = None
    nouns: frozenset[str] = frozenset()


def _read_rest(rest: str, known: frozenset[str]) -> _Rest | None:
    """Read what may follow a number: a scale ("million"), a unit, or the noun that was counted; `None` for all else."""
    first, _, remaining = rest.partition(" ")
    scale = SCALES.get(first.lower().removesuffix("s"), 1)
    rest = remaining if scale != 1 else rest
    if not rest:
        return _Rest(scale)
    if (unit := parse_unit(rest)) is not None:
        return _Rest(scale, unit)
    first, _, remaining = rest.partition(" ")
    # "20 in total" is no length.
    may_be_unit = len(first) > 1 and (first != "in" or remaining.split()[0] in _EXTENTS)
    if may_be_unit and (unit := parse_unit(first)) is not None and _is_trailing(remaining):
        return _Rest(scale, unit)
    if rest.lower() == "times" and stem(rest) in known:
        return _Rest(scale)
    nouns = _counted(rest, known)
    return None if nouns is None else _Rest(scale, None, nouns)


def _is_trailing(text: str) -> bool:
    """Return True for "in total", "per day", "long": words after a unit that leave the value what it is."""
    words = text.lower().split()
    harmless = not CHANGING.search(text) and not _FOR_SEVERAL.search(text)
    return bool(words) and len(words) < 6 and words[0] in _LINKS and harmless


def _counted(rest: str, known: frozenset[str]) -> frozenset[str] | None:
    """Return the words of a counted noun, "large eggs per day" being eggs; `None` for what is no noun.

    A noun is a plural, one of a few without one, or a word of the question. Nothing in the phrase may change, negate
    or compare the value.
    """
    words = rest.lower().split()
    if words[0] in ("per", "each", "every", "a", "an") and len(words) > 1 and _is_trailing(rest):
        return frozenset()
    if (
        len(words) > 6
        or _CONDITIONS & set(words)
        or CHANGING.search(rest)
        or not all(_WORD.fullmatch(word) for word in words)
    ):
        return None
    head = words[: next((index for index, word in enumerate(words) if word in _LINKS and index), len(words))]
    if len(head) == 1 and head[0] in _LINKS:
        return (
            frozenset() if words[0] in ("of", "in", "per", "each", "left", "total", "altogether", "remaining") else None
        )
    counted = head[1:] if head[0] in _LINKS else head
    if not counted or not _is_noun(counted[-1], known):
        return None
    thing = stem(counted[-1])
    if thing not in known and _COUNTED_APART.fullmatch(thing):
        return None
    return frozenset(stem(word) for word in counted)


def _is_noun(word: str, known: frozenset[str]) -> bool:
    plural = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "'s"))
    return plural or word in _IRREGULAR or stem(word) in known


def are_units(nouns: frozenset[str], unit: Unit) -> bool:
    """Return whether one of the nouns is the unit and none makes it another, as in "nautical miles"."""
    return not nouns & _OTHER_UNITS and any(parse_unit(noun) == unit for noun in nouns)


def stem(word: str) -> str:
    """Return a word without the ending of its plural."""
    word = word.lower()
    for ending, replacement in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("sses", "ss"), ("s", "")):
        if len(word) > len(ending) + 2 and word.endswith(ending) and not word.endswith("ss"):
            return word[: -len(ending)] + replacement
    return word


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text, each as its singular."""
    return frozenset(stem(word) for word in _WORD.findall(text.lower()) if len(word) > 2)


def _repeating_value(match: re.Match[str]) -> Fraction:
    fixed, repeated = match["fixed"], match["repeated"]
    value = Fraction(int((match["whole"] or "0") + fixed), 10 ** len(fixed))
    value += Fraction(int(repeated), (10 ** len(repeated) - 1) * 10 ** len(fixed))
    return -value if match["sign"] else value
