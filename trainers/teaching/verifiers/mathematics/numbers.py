"""Plain numbers, read exactly: the cheap path that spares most answers a computer algebra system."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

# Long digit strings and huge exponents are left to the killable worker.
_MAX_LENGTH = 64
_DECIMAL = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+"
_NUMBER = re.compile(
    rf"(?P<sign>[+-])?\s*(?:(?P<whole>\d+)\s+(?P<mixed_over>\d+)\s*/\s*(?P<mixed_under>\d+)"
    rf"|(?P<over>{_DECIMAL})\s*/\s*(?P<under>-?(?:{_DECIMAL}))"
    rf"|(?P<mantissa>{_DECIMAL})(?:\s*[eE](?P<exponent>[+-]?\d{{1,3}}))?)\s*(?P<percent>\\?%)?"
)
_ABSOLUTE_TOLERANCE = Fraction(1, 2_000_000)
_RELATIVE_TOLERANCE = Fraction(1, 1_000_000)


@dataclass(frozen=True)
class PlainNumber:
    """An exact value as it was written; "50%" has the value 50 and is a percentage."""

    value: Fraction
    percent: bool = False


def parse_plain_number(text: str) -> PlainNumber | None:
    """Read an integer, decimal, fraction `a/b`, mixed number `1 1/2`, `1.5e3` or percentage; `None` for all else.

    Commas are read as thousands separators only where they can be nothing else ("1,234", never "3,14").
    """
    if len(text) > _MAX_LENGTH or (match := _NUMBER.fullmatch(text.strip())) is None:
        return None
    value = _magnitude(match)
    if value is None:
        return None
    return PlainNumber(-value if match["sign"] == "-" else value, match["percent"] is not None)


def _magnitude(match: re.Match[str]) -> Fraction | None:
    if match["whole"]:
        under = int(match["mixed_under"])
        return int(match["whole"]) + Fraction(int(match["mixed_over"]), under) if under else None
    if match["over"]:
        under_value = _decimal(match["under"])
        return _decimal(match["over"]) / under_value if under_value else None
    return _decimal(match["mantissa"]) * Fraction(10) ** int(match["exponent"] or 0)


def _decimal(text: str) -> Fraction:
    return Fraction(text.replace(",", "").rstrip(".") if text.endswith(".") else text.replace(",", ""))


def equal_values(answer: Fraction, truth: Fraction) -> bool:
    """Exact for integers; otherwise a decimal rounded at the sixth place or later counts as equal.

    The absolute tolerance is that of math-verify (six decimal places). Unlike there, tiny numbers must also agree to
    six significant digits, so that 1e-7 and 2e-7 differ.
    """
    if answer == truth:
        return True
    if answer.denominator == 1 and truth.denominator == 1:
        return False
    difference = abs(answer - truth)
    return difference <= _ABSOLUTE_TOLERANCE and difference <= _RELATIVE_TOLERANCE * abs(truth)


def equal_numbers(answer: PlainNumber, truth: PlainNumber) -> bool:
    """Compare two numbers as written; a percent sign on one side only may be read either way.

    "50%" answers both a truth of 50 (asked in percent) and of 0.5; "0.5%" answers neither.
    """
    if equal_values(answer.value, truth.value):
        return True
    if answer.percent and not truth.percent:
        return equal_values(answer.value / 100, truth.value)
    if truth.percent and not answer.percent:
        return equal_values(answer.value, truth.value / 100)
    return False
