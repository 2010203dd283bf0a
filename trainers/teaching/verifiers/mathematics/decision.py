"""Deciding a mathematical answer without a computer algebra system where that is certain, and preparing the rest.

Everything here is pure: `decide` either gives the verdict or the pairs of LaTeX expressions of which one must be equal.
"""

from __future__ import annotations

import re
from fractions import Fraction

from trainers.teaching.verifiers.mathematics.lists import equal_lists, parse_list
from trainers.teaching.verifiers.mathematics.notation import clean
from trainers.teaching.verifiers.mathematics.number_words import words_to_number
from trainers.teaching.verifiers.mathematics.numbers import equal_numbers, equal_values
from trainers.teaching.verifiers.mathematics.quantities import NOT_COUNTED, SCALES, Quantity, read_quantity
from trainers.teaching.verifiers.mathematics.units import parse_unit
from trainers.teaching.verifiers.verdict import CORRECT, NO_GROUND_TRUTH, WRONG, Verdict

MAX_EXPRESSION_LENGTH = 2_000

_CHOICE = re.compile(r"\(?([A-Z])\)?[.):]?")
_ANSWERED_CHOICE = re.compile(
    r"(?:(?:option|choice|answer)\s*:?\s*)?(?:\(([A-Za-z])\)|([A-Za-z])[.):](?=\s|$)|([A-Z])(?=$)|([a-z])$)(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
# "(A) or (B)": naming several options chooses none.
_FURTHER_CHOICE = re.compile(r"\([A-Z]\)|(?:^|[\s,/&])(?:or|and|[,/&])\s*\(?[A-Z]\b|(?:^|\s)[A-Z][.):](?:\s|$)")
_LABELLED_TRUTH = re.compile(r"\(([A-Z])\)\s*(\S.*)|([A-Z])[.):]\s+(\S.*)")
# "18 or 20" hedges, unless several values were asked for.
_OR = re.compile(r"\bor\b")
_UNEQUAL = re.compile(r"≠|\\neq?(?![A-Za-z])|\\not\s*=|!=")
_SEVERAL = re.compile(r"\b(?:or|and)\b|[,;]|\\(?:pm|cup)\b")
_NAME_EQUALS = re.compile(r"^[A-Za-z](?:[\w ]*|\([a-z]\))\s*=(?!=)\s*(?=[^=<>]+$)")
_WORDS = re.compile(r"[A-Za-z][A-Za-z'.-]*(?:\s+[A-Za-z][A-Za-z'.-]*)*")
_MATH_TOKEN = re.compile(r"\$([^$]+)\$|\\\((.+?)\\\)")
_NUMERAL = re.compile(r"(?<![\w.,])[-$€£]?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?(?!\w)")
_NEXT_WORD = re.compile(r"\s*([A-Za-z]+)")
# "18 less than …", "2 thirds of …": the number is not the value.
_CHANGED = re.compile(rf"\s*-?(?:{NOT_COUNTED.pattern}|(?:more|less|fewer)\b|[+*/^=<>\\])", re.IGNORECASE)
_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}\s+[A-Za-z]{2,}(?:\s+[A-Za-z]{2,})+|^[A-Z][a-z]+\s+[a-z]+\b.*\d")

Pairs = tuple[tuple[str, str], ...]


def decide(answer: str, ground_truth: str) -> Verdict | Pairs:
    """Return the verdict where it is certain, else (answer, truth) pairs of LaTeX.

    One equal pair makes the answer correct.
    """
    truth = clean(ground_truth)
    if not truth:
        return NO_GROUND_TRUTH
    if len(answer) > MAX_EXPRESSION_LENGTH and len(answer) > 2 * len(ground_truth):
        return WRONG
    given = clean(answer)
    if _same_text(given, truth):
        return CORRECT
    if (choice := _decide_choice(given, truth)) is not None:
        return choice
    if {_half_of_day(given), _half_of_day(truth)} == {"am", "pm"}:
        return WRONG
    if _OR.search(given) and not _SEVERAL.search(truth):
        return WRONG
    if _UNEQUAL.search(given) and not _UNEQUAL.search(truth):
        return WRONG
    if _WORDS.fullmatch(truth) and len(truth) > 2 and words_to_number(truth) is None:
        return WRONG
    return _decide_quantity(_narrow(answer, given), truth)


def _half_of_day(text: str) -> str:
    return text[-2:] if re.search(r"\d [ap]m$", text) else ""


def _same_text(given: str, truth: str) -> bool:
    bare_given, bare_truth = (re.sub(r"[\s.]", "", text) if _WORDS.fullmatch(text) else text for text in (given, truth))
    if _WORDS.fullmatch(truth) and len(truth) > 2:
        return bare_given.casefold() == bare_truth.casefold()
    return re.sub(r"\s+", "", given) == re.sub(r"\s+", "", truth) and not re.search(r"\d\s+\d", given + " | " + truth)


def _decide_choice(given: str, truth: str) -> Verdict | None:
    labelled = _LABELLED_TRUTH.fullmatch(truth)
    plain = _CHOICE.fullmatch(truth)
    if not labelled and not plain:
        return None
    letter = plain[1] if plain else (labelled[1] or labelled[3])  # type: ignore[index]
    if match := _ANSWERED_CHOICE.fullmatch(given):
        chosen = next(group for group in match.groups()[:4] if group)
        several = _FURTHER_CHOICE.search(match["rest"])
        return CORRECT if chosen.upper() == letter and not several else WRONG
    if labelled:
        return CORRECT if _same_text(given, clean(labelled[2] or labelled[4])) else None
    return WRONG


def _narrow(answer: str, given: str) -> str:
    """Return the value inside a sentence: its only formula, what follows its last "=", or its only number."""
    if not _PROSE.search(given):
        return given
    formulas = [next(group for group in match.groups() if group) for match in _MATH_TOKEN.finditer(answer)]
    if len(formulas) == 1 and not _NUMERAL.search(_MATH_TOKEN.sub(" ", answer)):
        return clean(formulas[0])
    if "=" in given:
        return given.rsplit("=", 1)[1].strip()
    numerals = list(_NUMERAL.finditer(given))
    if len(numerals) == 1 and not _CHANGED.match(given, numerals[0].end()):
        return _with_unit(given, numerals[0])
    return given


def _with_unit(given: str, numeral: re.Match[str]) -> str:
    following = _NEXT_WORD.match(given, numeral.end())
    known = following and (parse_unit(following[1]) or following[1].lower() in SCALES)
    return given[numeral.start() : following.end() if following and known else numeral.end()]


def _decide_quantity(given: str, truth: str) -> Verdict | Pairs:
    if ("=" in given) != ("=" in truth):
        given, truth = _NAME_EQUALS.sub("", given, count=1), _NAME_EQUALS.sub("", truth, count=1)
    answered, expected = read_quantity(given), read_quantity(truth)
    scale = Fraction(1)
    if answered.unit and expected.unit:
        if answered.unit.dimensions != expected.unit.dimensions:
            return WRONG
        scale = answered.unit.size / expected.unit.size
    if answered.number and expected.number:
        if scale != 1:
            return CORRECT if equal_values(answered.number.value * scale, expected.number.value) else WRONG
        return CORRECT if equal_numbers(answered.number, expected.number) else WRONG
    lists = parse_list(answered.expression), parse_list(expected.expression)
    if lists[0] and lists[1] and scale == 1 and (same := equal_lists(lists[0], lists[1])) is not None:
        return CORRECT if same else WRONG
    if {_bracket_kind(answered.expression), _bracket_kind(expected.expression)} == {"set", "point"}:
        return WRONG
    return _pairs(answered, expected, scale)


def _bracket_kind(text: str) -> str:
    """Braces make a set, parentheses and square brackets a point or an interval; the two are never equal."""
    if re.fullmatch(r"\\\{.*,.*\\\}", text):
        return "set"
    return "point" if re.fullmatch(r"[(\[][^()\[\]]*,[^()\[\]]*[)\]]", text) else ""


def _pairs(answered: Quantity, expected: Quantity, scale: Fraction) -> Pairs:
    given, truth = (re.sub(r"\s+(?:or|and)\s+", ", ", quantity.expression) for quantity in (answered, expected))
    given_part, truth_part = given.removesuffix("%").strip(), truth.removesuffix("%").strip()
    if scale != 1:
        return ((rf"\frac{{{scale.numerator}}}{{{scale.denominator}}} \cdot ({given})", truth),)
    pairs = [(given_part, truth_part)]
    if given_part != given and truth_part == truth:
        pairs.append((rf"\frac{{{given_part}}}{{100}}", truth))
    if truth_part != truth and given_part == given:
        pairs.append((given, rf"\frac{{{truth_part}}}{{100}}"))
    return tuple(pairs)
