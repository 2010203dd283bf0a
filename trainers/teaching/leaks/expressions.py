"""Arithmetic that leaves the last step open: `6*7`, "41 plus 1", "one more than 41", "between 41 and 43"."""
# ruff: noqa: RUF001 - teachings are written in these characters

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from math import isqrt

from trainers.teaching.verifiers.mathematics.number_words import words_to_number

_NUMBER = r"\d{1,15}(?:\.\d{1,15})?"
_SMALL = (
    r"(?:twen|thir|for|fif|six|seven|eigh|nine)ty(?:[\s-](?:one|two|three|four|five|six|seven|eight|nine))?|"
    r"(?:thir|four|fif|six|seven|eigh|nine)teen|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
)
_OPERATOR = (
    r"(?:\*\*|[-+*/^×·÷−x]|\\(?:times|cdot|div)(?![A-Za-z])|\b(?:plus|minus|times|over|multiplied\sby|divided\sby|"
    r"to\sthe\spower\sof)\b)"
)
_EXPRESSION = re.compile(
    rf"(?<![\w.])\(?(?:{_NUMBER}|(?:{_SMALL})\b)(?:\)?\s?{_OPERATOR}\s?\(?(?:{_NUMBER}|(?:{_SMALL})\b)){{1,6}}\)?(?![\w]|\.\d)",
    re.IGNORECASE,
)
_RELATION = re.compile(
    rf"(?<![\w.])(?:(?P<by>{_NUMBER}|{_SMALL}|just)\s(?P<way>more|greater|higher|above|less|fewer|lower|below|short)(?:\sthan|\sof)?\s"
    rf"|(?P<join>sum|product|difference)\s(?:of|between)\s(?P<first>{_NUMBER})\s(?:and|&)\s"
    rf"|(?P<near>between)\s(?P<low>{_NUMBER})\s(?:and|&)\s"
    rf"|(?P<times>half|twice|double|triple|thrice)\s(?:of\s)?|(?P<root>square\sroot\sof|sqrt\sof|sqrt\s?\(|√|\\sqrt\s?\{{)\s?"
    rf"|(?:right\s)?(?P<beside>after|before|follows|precedes)\s)(?P<of>{_NUMBER})(?![\w]|\.\d)",
    re.IGNORECASE,
)
_WORDS = {
    "plus": "+", "minus": "-", "times": "*", "over": "/", "multipliedby": "*", "dividedby": "/", "tothepowerof": "**",
    r"\times": "*", r"\cdot": "*", r"\div": "/", "×": "*", "x": "*", "·": "*", "÷": "/", "−": "-", "^": "**",
}  # fmt: skip
_FACTORS = {
    "half": Fraction(1, 2),
    "twice": Fraction(2),
    "double": Fraction(2),
    "triple": Fraction(3),
    "thrice": Fraction(3),
}
_JOINED: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "sum": lambda first, second: first + second,
    "product": lambda first, second: first * second,
    "difference": lambda first, second: abs(first - second),
}
_MORE = ("more", "greater", "higher", "above")
_COMMON = frozenset(map(Fraction, (1, 2, 100)))
_LARGEST_EXPONENT = 16
_OPERAND = re.compile(rf"{_NUMBER}|\b(?:{_SMALL})\b", re.IGNORECASE)
_TOKEN = re.compile(rf"{_OPERATOR}|{_NUMBER}|\b(?:{_SMALL})\b|[()]", re.IGNORECASE)


def find_expressions(text: str, value: Fraction, given: str) -> Iterator[tuple[int, int]]:
    """Yield where an expression of the value `value` begins and ends.

    One whose numbers all stand in `given`, question and approach, only says what to do with them and is left out.
    """
    known: frozenset[Fraction] | None = None
    for match in (*_EXPRESSION.finditer(text), *_RELATION.finditer(text)):
        if (_relation(match) if "of" in match.groupdict() else _evaluated(match[0])) != value:
            continue
        known = _operands(given) | _COMMON if known is None else known
        if not _operands(match[0]) <= known:
            yield match.start(), match.end()


@lru_cache(maxsize=1024)
def _operands(text: str) -> frozenset[Fraction]:
    return frozenset(_read(match[0]) for match in _OPERAND.finditer(text.replace(",", "")))


def _read(text: str) -> Fraction:
    number = words_to_number(text) if text[0].isalpha() else Fraction(text)
    assert number is not None
    return number


def _relation(match: re.Match[str]) -> Fraction | None:
    of = Fraction(match["of"])
    if match["way"]:
        by = Fraction(1) if match["by"].lower() == "just" else _read(match["by"])
        return of + by if match["way"].lower() in _MORE else of - by
    if match["join"]:
        return _JOINED[match["join"].lower()](Fraction(match["first"]), of)
    if match["near"]:
        low = Fraction(match["low"])
        return (low + of) / 2 if of - low == 2 else None
    if match["times"]:
        return _FACTORS[match["times"].lower()] * of
    if match["root"]:
        root = isqrt(int(of))
        return Fraction(root) if root * root == of else None
    return of + (1 if match["beside"].lower() in ("after", "follows") else -1)


@lru_cache(maxsize=4096)
def _evaluated(text: str) -> Fraction | None:
    tokens = []
    if text.count("(") != text.count(")"):
        text = text.strip("()")
    for match in _TOKEN.finditer(text):
        token = re.sub(r"\s", "", match[0].lower())
        spelled = match[0][0].isalpha()
        tokens.append(_WORDS.get(token) or (str(words_to_number(match[0])) if spelled else token.lstrip("0") or "0"))
    try:
        return _value(ast.parse("".join(tokens), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, OverflowError):
        return None


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return Fraction(str(node.value))
    if not isinstance(node, ast.BinOp):
        raise ValueError("no arithmetic")
    left, right = _value(node.left), _value(node.right)
    match node.op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case ast.Pow() if right.denominator == 1 and abs(right) <= _LARGEST_EXPONENT:
            return left ** int(right)
    raise ValueError("no arithmetic")
