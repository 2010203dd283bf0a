"""Deciding a mathematical answer without a computer algebra system where that is certain, and preparing the rest.

Everything here is pure: `decide` either gives the verdict or the pairs of LaTeX expressions of which one must be equal.
"""

# ruff: noqa: E501 - patterns and tables are easier read in one line

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from trainers.teaching.verifiers.choices import chosen, names_option, read_choice
from trainers.teaching.verifiers.mathematics.notation import clean
from trainers.teaching.verifiers.mathematics.number_words import words_to_number
from trainers.teaching.verifiers.mathematics.numbers import (
    PlainNumber,
    close_numbers,
    equal_numbers,
    parse_plain_number,
)
from trainers.teaching.verifiers.mathematics.quantities import (
    CHANGING,
    SCALES,
    Quantity,
    are_units,
    read_quantity,
    words_of,
)
from trainers.teaching.verifiers.mathematics.structure import UnreadableError, parse, same
from trainers.teaching.verifiers.mathematics.units import Unit, parse_unit
from trainers.teaching.verifiers.verdict import CORRECT, NO_GROUND_TRUTH, UNJUDGEABLE, WRONG, Verdict

MAX_EXPRESSION_LENGTH = 2_000

# "18 or 20" hedges, unless several values were asked for.
_OR = re.compile(r"\bor\b")
_UNEQUAL = re.compile(r"≠|\\neq?(?![A-Za-z])|\\not\s*=|!=")
_SEVERAL = re.compile(r"\b(?:or|and)\b|[,;]|\\(?:pm|cup)\b")
_LABEL = re.compile(r"A\s*:\s*(?=\S)")
_WORDS = re.compile(r"[A-Za-z][A-Za-z'.-]*(?:\s+[A-Za-z][A-Za-z'.-]*)*")
_MATH_TOKEN = re.compile(r"\$([^$]+)\$|\\\((.+?)\\\)")
_NUMERAL = re.compile(r"(?<![\w.,])[-$€£]?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?(?!\w)")
_NEXT_WORD = re.compile(r"\s*([A-Za-z]+)")
# "18 less than …", "42+": the number is not the value.
_CHANGED = re.compile(r"\s*-?(?:more\b|[+*/^=<>\\_!])", re.IGNORECASE)
_BEFORE = re.compile(r"(?:[<>≥≤≠~]|\\(?:ge|le|ne|geq|leq|neq|gt|lt|approx)\b)\s*$")
_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}\s+[A-Za-z]{2,}(?:\s+[A-Za-z]{2,})+|^[A-Z][a-z]+\s+[a-z]+\b.*\d")
_RATIO = re.compile(r"(\d+(?:\.\d+)?)\s*:\s*(\d+(?:\.\d+)?)")
_NAMED_RATIO = re.compile(rf"([^=:]+:[^=:]+=\s*)?{_RATIO.pattern}")
_CLOCK = re.compile(r"\d{1,2}:[0-5]\d(?:\s?[ap]m)?")
_DIGITS = {name: value for value, name in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"])} | {
    "eleven": 11, "twelve": 12, "sixteen": 16,
}  # fmt: skip
_BASED = re.compile(r"\(?([0-9A-F]+)\)?\s*(?:_\s*\{?\s*|\s(?:in\s)?base\s)(\d{1,2}|[a-z]+)\s*\}?", re.IGNORECASE)
_ASKED_BASE = re.compile(r"base[\s$-]*(?:\\text\{)?(\d{1,2}|[a-z]+)", re.IGNORECASE)
_IN_PERCENT = re.compile(
    r"\b(?:what|which|how many|find|give|express|in|as a|the)\s(?:is\sthe\s|the\s|was\sthe\s)?(?:percent|percentage|%)",
    re.IGNORECASE,
)
_ASKED_UNIT = re.compile(
    r"\bhow (?:many|much) ([A-Za-z]+(?: (?:per [a-z]+|squared|cubed))?)|\bin ((?:square |cubic |degrees? |° ?)?[A-Za-z]+)\b(?= *[?.,)]|$)",
    re.IGNORECASE,
)
_ASKED_SCALE = re.compile(rf"\bhow many ({'|'.join(SCALES)})s?\b", re.IGNORECASE)
_POWER = re.compile(r"(\d+(?:\.\d+)?)\}?\s*\^\s*\{?\s*\(?\s*(\d+)\}?\s*\^\s*\{?\s*\(?\s*(\d+)(\}?\s*\^)?")
_LARGEST_EXPONENT = 100_000
_HUGE = re.compile(
    r"\^\s*\{?\s*\(?\d{7,}|\d{5,}\s*!|!\s*!|(?:\^\s*\{?\s*\(?[\w\\]+\s*\}?\s*){4}|\\(?:sum|prod)\b.*\d{6,}|\\(?:sum|prod)\b.*10\s*\^"
)

Pairs = tuple[tuple[str, str], ...]


def decide(answer: str, ground_truth: str, question: str = "") -> Verdict | Pairs:
    """Return the verdict where it is certain, else (answer, truth) pairs of LaTeX; one equal pair makes it correct.

    Args:
        answer: what the solution states.
        ground_truth: the row's answer.
        question: its text, which may name the unit, the base or the expression that is asked for, and counted nouns.
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
    given = _LABEL.sub("", given, count=1)
    if {_half_of_day(given), _half_of_day(truth)} == {"am", "pm"}:
        return WRONG
    if _OR.search(given) and not _SEVERAL.search(truth):
        return WRONG
    if _UNEQUAL.search(given) and not _UNEQUAL.search(truth):
        return WRONG
    if _is_words(truth):
        return WRONG
    if (based := _decide_base(given, truth, question)) is not None:
        return based
    return _decide_value(_narrow(answer, given), truth, question)


def expression_in(ground_truth: str, question: str = "") -> str | None:
    """Return what of a ground truth has to be read whole by computer algebra before an answer can be compared with it.

    `None` for numbers, choices and words, which are compared without; arguments as in `decide`.
    """
    truth = clean(ground_truth)
    if not truth or read_choice(truth) or _based(truth) or _CLOCK.fullmatch(truth) or _is_words(truth):
        return None
    truth = _with_quotient(truth)
    expected = read_quantity(truth, words_of(question))
    return None if expected.number else expected.expression.removesuffix("%").strip()


def _with_quotient(text: str) -> str:
    """Return "2:3" and "a:b = 2:3" with a quotient for the ratio."""
    match = _NAMED_RATIO.fullmatch(text)
    return f"{match[1] or ''}{match[2]}/{match[3]}" if match else text


def _is_words(truth: str) -> bool:
    return _WORDS.fullmatch(truth) is not None and len(truth) > 2 and words_to_number(truth) is None


def _half_of_day(text: str) -> str:
    return text[-2:] if re.search(r"\d [ap]m$", text) else ""


def _same_text(given: str, truth: str) -> bool:
    bare_given, bare_truth = (re.sub(r"[\s.]", "", text) if _WORDS.fullmatch(text) else text for text in (given, truth))
    if _WORDS.fullmatch(truth) and len(truth) > 2:
        return bare_given.casefold() == bare_truth.casefold()
    return re.sub(r"\s+", "", given) == re.sub(r"\s+", "", truth) and not re.search(r"\d\s+\d", given + " | " + truth)


def _decide_choice(given: str, truth: str) -> Verdict | None:
    expected = read_choice(truth)
    if expected is None:
        return None
    if names_option(given):
        option = chosen(given)
        if option is None or option.letter != expected.letter:
            return WRONG
        contents = [parse_plain_number(text or "") for text in (option.content, expected.content)]
        return WRONG if contents[0] and contents[1] and contents[0].value != contents[1].value else CORRECT
    if expected.content is None:
        return WRONG
    content = clean(expected.content)
    if _same_text(given, content):
        return CORRECT
    decided = _decide_value(given, content, "")
    return decided if isinstance(decided, Verdict) else WRONG


def _decide_base(given: str, truth: str, question: str) -> Verdict | None:
    """Compare "42_5" digit by digit: its base must be the truth's, or the one that the question names."""
    answered, expected = _based(given), _based(truth)
    if answered is None and expected is None:
        return None
    asked = next(filter(None, (_base(match[1]) for match in _ASKED_BASE.finditer(question))), None)
    bases = {read_base for _, read_base in filter(None, (answered, expected))}
    if answered is None or expected is None:
        # In one of the two the base is left out: it is the one that was asked for.
        asked_for = {_base(match[1]) for match in _ASKED_BASE.finditer(question)}
        if asked is None or not bases <= asked_for:
            return WRONG
    digits = [
        read_text[0] if read_text else re.sub(r"\s", "", text).upper().lstrip("0")
        for read_text, text in ((answered, given), (expected, truth))
    ]
    return CORRECT if len(bases) == 1 and digits[0] == digits[1] else WRONG


def _based(text: str) -> tuple[str, int] | None:
    match = _BASED.fullmatch(text.strip())
    base = _base(match[2]) if match else None
    return (match[1].upper().lstrip("0"), base) if match and base else None


def _base(name: str) -> int | None:
    return int(name) if name.isdigit() else _DIGITS.get(name.lower())


def _narrow(answer: str, given: str) -> str:
    """Return the value inside a sentence: its only formula, what follows its last "=", or its only number.

    A sentence that negates, compares or changes the value states none.
    """
    if not _PROSE.search(given) or CHANGING.search(
        re.sub(r"(?i)\b(?:to|up|and|out|over|right|correct|times)\b", "", given)
    ):
        return given
    whole = read_quantity(given)
    if whole.number and whole.unit:
        return given
    formulas = [next(group for group in match.groups() if group) for match in _MATH_TOKEN.finditer(answer)]
    if len(formulas) == 1 and not _NUMERAL.search(_MATH_TOKEN.sub(" ", answer)):
        return clean(formulas[0])
    if "=" in given:
        return given.rsplit("=", 1)[1].strip()
    numerals = list(_NUMERAL.finditer(given))
    if len(numerals) == 1 and not _is_changed(given, numerals[0]):
        return _with_unit(given, numerals[0])
    return given


def _is_changed(given: str, numeral: re.Match[str]) -> bool:
    around = given[: numeral.start()], given[numeral.end() :]
    return bool(_CHANGED.match(around[1]) or _BEFORE.search(around[0]) or CHANGING.match(around[1].strip()))


def _with_unit(given: str, numeral: re.Match[str]) -> str:
    following = _NEXT_WORD.match(given, numeral.end())
    known = following and (parse_unit(following[1]) or following[1].lower() in SCALES)
    return given[numeral.start() : following.end() if following and known else numeral.end()]


def _decide_value(given: str, truth: str, question: str) -> Verdict | Pairs:
    if too_large(given) and not too_large(truth):
        return UNJUDGEABLE
    if _CLOCK.fullmatch(truth):
        return WRONG
    given, truth = _with_quotient(given), _with_quotient(truth)
    given = _in_asked_scale(_asked_side(given, truth, question), truth, question)
    answered = read_quantity(given, words_of(f"{question} {truth}"))
    expected = read_quantity(truth, words_of(question))
    if not expected.unit and (answered.unit or (answered.nouns and _asks_for_units_alone(question))):
        expected = replace(expected, unit=_asked_unit(question))
    if _count_different_things(answered, expected):
        return WRONG
    scale = Fraction(1)
    if answered.unit and expected.unit:
        if not answered.unit.measures_the_same(expected.unit):
            return WRONG
        scale = answered.unit.size / expected.unit.size
    if answered.number and expected.number:
        if scale != 1:
            scaled = PlainNumber(answered.number.value * scale)
            return CORRECT if close_numbers(scaled, expected.number) else WRONG
        in_percent = _IN_PERCENT.search(question) is not None
        return CORRECT if equal_numbers(answered.number, expected.number, in_percent=in_percent) else WRONG
    if scale == 1 and (decided := _decide_parts(answered.expression, expected.expression)) is not None:
        return decided
    return _pairs(answered, expected, scale)


def _count_different_things(answered: Quantity, expected: Quantity) -> bool:
    """Return True for apples and oranges, and for apples and miles."""
    if answered.nouns and expected.nouns:
        return not answered.nouns & expected.nouns
    nouns, unit = answered.nouns or expected.nouns, answered.unit or expected.unit
    return bool(nouns) and unit is not None and not are_units(nouns, unit)


def too_large(text: str) -> bool:
    """Return whether computing an expression could take for ever: towers of powers, factorials of large numbers."""
    if _HUGE.search(text):
        return True
    return any(match[4] or _tower(match) > _LARGEST_EXPONENT for match in _POWER.finditer(text))


def _tower(match: re.Match[str]) -> float:
    base, exponent = match[2][:9], match[3][:9]
    return float(base) ** min(float(exponent), 30.0) if float(base) > 1 else 1.0


def _asked_side(given: str, truth: str, question: str) -> str:
    """Return the right side of "x^2 = 42" where the question asks for the left one, as it is written."""
    if "=" not in given or "=" in truth or not question:
        return given
    left, _, right = given.partition("=")
    wanted = re.sub(r"[\s$]", "", clean(left.strip()))
    return right.strip() if len(wanted) > 1 and "=" not in right and wanted in re.sub(r"[\s$]", "", question) else given


def _in_asked_scale(given: str, truth: str, question: str) -> str:
    """Return "7 dozen" as 7 where a question asks how many dozens, unless its truth says dozens too."""
    asked = _ASKED_SCALE.search(question)
    if asked is None or asked[1].lower() in truth.lower():
        return given
    return re.sub(rf"(?<=\d)\s*{asked[1]}s?\b", "", given, count=1, flags=re.IGNORECASE)


def _asked_unit(question: str) -> Unit | None:
    """Return the one unit that a question asks for: "How many meters", "in square feet?"; `None` for none or several."""
    units = {parse_unit(match[1] or match[2]) for match in _ASKED_UNIT.finditer(question)} - {None}
    return units.pop() if len(units) == 1 else None


def _asks_for_units_alone(question: str) -> bool:
    return all(parse_unit(match[1]) for match in _ASKED_UNIT.finditer(question) if match[1])


class _Undecided(Exception):
    """A part that is no plain number."""


class _Numbers:
    """Compares parts that are numbers, infinities or the same text."""

    def equal(self, given: str, truth: str) -> bool:
        first, second = parse_plain_number(given), parse_plain_number(truth)
        if first is not None and second is not None:
            return equal_numbers(first, second)
        texts = [re.sub(r"\s", "", text).removeprefix("+") for text in (given, truth)]
        infinite = [text.lstrip("-") == r"\infty" for text in texts]
        if any(infinite) and (all(infinite) or first or second):
            return texts[0] == texts[1]
        raise _Undecided

    def ratio_sign(self, given: str, truth: str) -> int:
        raise _Undecided


def _decide_parts(given: str, truth: str) -> Verdict | None:
    try:
        truth_parts = parse(truth)
    except UnreadableError:
        return None
    try:
        return CORRECT if same(parse(given), truth_parts, _Numbers()) else WRONG
    except UnreadableError:
        return WRONG
    except _Undecided:
        return None


def _pairs(answered: Quantity, expected: Quantity, scale: Fraction) -> Pairs:
    given, truth = answered.expression, expected.expression
    given_part, truth_part = given.removesuffix("%").strip(), truth.removesuffix("%").strip()
    if scale != 1:
        return ((rf"\frac{{{scale.numerator}}}{{{scale.denominator}}} \cdot ({given})", truth),)
    if (given_part != given) == (truth_part != truth):
        return ((given_part, truth_part),)
    if given_part != given:
        return ((rf"\frac{{{given_part}}}{{100}}", truth),)
    return ((given, rf"\frac{{{truth_part}}}{{100}}"),)
