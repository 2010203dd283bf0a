"""Equality of two expressions with a computer algebra system: exact, or numerical to many digits. Loads sympy.

LaTeX is read by the parser of math-verify (latex2sympy2_extended), which refuses what it cannot read to the end; that it
is never given a part of an answer is seen to here.
"""

# ruff: noqa: E501 - patterns and tables are easier read in one line

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy
from latex2sympy2_extended import latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig
from sympy import Expr, Float, I, Integral, Limit, Product, Rational, Sum, Symbol

from trainers.teaching.verifiers.mathematics.numbers import parse_plain_number
from trainers.teaching.verifiers.mathematics.structure import UnreadableError

_CONVERSION = ConversionConfig(lowercase_symbols=False)
# What differs in the first digits is unequal; what does not must agree in the further ones too.
_DIGITS, _FURTHER_DIGITS = 60, 600
_SPARE_DIGITS = 15
# Where expressions with variables are compared: on both sides of 0 and of 1, none of them a root by chance.
_POINTS = (Rational(17, 7), Rational(-23, 11), Rational(5, 13), Rational(-3, 17), Rational(101, 9))
_STEP = Rational(19, 23)
_NEVER_READ = re.compile(
    r"'|\d_|(?<![_\d])\d+\s+\d|(?<![A-Za-z\\])[A-Za-z]{4,}|\^\{?\\?T\b|\^\{?\\(?:top|circ|prime|dagger)|[?#@$\"~]|\\(?:not|ldots|dots)\b|\.\."
    r"|:|--|\+\+|\\mid(?![A-Za-z])"
)
_NAMES = re.compile(r"\\[A-Za-z]+|\\(?:text|mathrm|operatorname|mathbf|vec|overline|bar)\{[^{}]*\}")
_DECIMAL = re.compile(r"(?<![\w.])(\d*)\.(\d+)(?![\d.])|(?<![\w.])(\d+)\.(?!\d)")
# By the order of operations "1/2 x" is half of x; the parser would read 1/(2x).
_LEADING_FRACTION = re.compile(r"(?<![\w.)}\]^/])(\d+)\s*/\s*(\d+)(?=\s*[A-Za-z\\(])")
_SCIENTIFIC = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([+-]?\d{1,4})(?!\w)")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_DEGREES = re.compile(r"(\d+(?:\.\d+)?|[a-z]|\([^()]*\))\s*degrees?\b")


def equal(given: str, truth: str) -> bool:
    """Return whether two expressions have the same value, for all values of their variables.

    A truth that is a long decimal is also the value of what rounds to it, in its own digits.

    Raises:
        UnreadableError: when one of them cannot be read as a whole.
    """
    first, second = read(given), read(truth)
    if first == second:
        return True
    if not first.free_symbols | second.free_symbols and first.is_rational and second.is_rational:
        return bool(first.doit() == second.doit())
    return _same_values(first, second) or _rounds_to(first, truth)


def _rounds_to(exact: Expr, truth: str) -> bool:
    rounded = parse_plain_number(truth)
    if rounded is None or rounded.margin is None or exact.free_symbols:
        return False
    value, margin = (Rational(one.numerator, one.denominator) for one in (rounded.value, rounded.margin))
    return bool(abs(sympy.N(exact - value, _DIGITS)) <= margin)


def ratio_sign(given: str, truth: str) -> int:
    """Return the sign of the constant ratio of two expressions, 0 where it is not constant or one of them vanishes.

    Raises:
        UnreadableError: when one of them cannot be read as a whole.
    """
    values, close = list(_values((read(given), read(truth)), _FURTHER_DIGITS)), _closeness(_FURTHER_DIGITS)
    if len(values) < 2 or any(abs(a) < close or abs(b) < close for a, b in values):
        return 0
    ratios = [a / b for a, b in values]
    if any(abs(ratio - ratios[0]) > close * abs(ratios[0]) for ratio in ratios):
        return 0
    return 1 if sympy.re(ratios[0]) > 0 else -1


@lru_cache(maxsize=4096)
def read(text: str) -> Expr:
    """Read a whole expression.

    Raises:
        UnreadableError: when that is not possible.
    """
    prepared = _prepared(text)
    try:
        expression = latex2sympy(prepared, normalization_config=None, conversion_config=_CONVERSION)
    except (MemoryError, RecursionError, OverflowError):
        raise
    except Exception as error:  # the parser raises plain exceptions
        raise UnreadableError(text[:80]) from error
    if not isinstance(expression, Expr) or expression.has(Float):
        raise UnreadableError(text[:80])
    expression = expression.subs({symbol: I for symbol in expression.free_symbols if symbol.name == "i"})
    return expression.doit() if expression.has(Sum, Product, Integral, Limit) else expression


def _prepared(text: str) -> str:
    """Bring an expression to what the parser reads exactly: decimals as fractions, degrees as numbers."""
    if _TRIGONOMETRIC.search(text):
        text = _DEGREES.sub(r"{(\1 \\cdot \\frac{\\pi}{180})}", text)
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    if _NEVER_READ.search(_NAMES.sub("|", text)) or not text.strip():
        raise UnreadableError(text[:80])
    text = _SCIENTIFIC.sub(r"(\1 \\cdot 10^{\2})", text)
    text = _DECIMAL.sub(_as_fraction, text)
    text = _LEADING_FRACTION.sub(r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\sqrt\s*(\d)", r"\\sqrt{\1}", text)
    return re.sub(r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}", text)


def _as_fraction(match: re.Match[str]) -> str:
    if match[3]:
        return match[3]
    value = Fraction(f"{match[1] or 0}.{match[2]}")
    return str(value) if value.denominator == 1 else rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def _same_values(first: Expr, second: Expr) -> bool:
    enough = 2 if first.free_symbols | second.free_symbols else 1
    for digits in (_DIGITS, _FURTHER_DIGITS):
        pairs, close = list(_values((first, second), digits)), _closeness(digits)
        if len(pairs) < enough:
            return _same_form(first, second)
        if any(abs(a - b) > close * max(abs(a), abs(b)) for a, b in pairs):
            return all(max(abs(a), abs(b)) < close for a, b in pairs) and _same_form(first, second)
    return True


def _closeness(digits: int) -> Rational:
    return Rational(1, 10 ** (digits - _SPARE_DIGITS))


def _same_form(first: Expr, second: Expr) -> bool:
    return sympy.simplify(first - second) == 0


def _values(expressions: Sequence[Expr], digits: int) -> Iterator[tuple[Any, ...]]:
    """Yield the values of expressions at several points, where all are finite numbers."""
    expressions = _with_one_constant(expressions)
    symbols = sorted(set().union(*(expression.free_symbols for expression in expressions)), key=str)
    for point in _POINTS if symbols else _POINTS[:1]:
        place: dict[Symbol, Expr] = {symbol: point + index * _STEP for index, symbol in enumerate(symbols)}
        values = tuple(sympy.N(expression.subs(place), digits, maxn=2 * digits + 300) for expression in expressions)
        if all(value.is_number and value.is_finite for value in values):
            yield values


def _with_one_constant(expressions: Sequence[Expr]) -> Sequence[Expr]:
    """Take "c" and "C" for the same constant of integration, where no expression has both."""
    names = [{symbol.name for symbol in expression.free_symbols} for expression in expressions]
    if any({"c", "C"} <= found for found in names) or not set().union(*names) >= {"c", "C"}:
        return expressions
    return [
        expression.subs({s: Symbol("C") for s in expression.free_symbols if s.name == "c"})
        for expression in expressions
    ]
