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
# As many digits, in all and behind the point, must a decimal have to stand for a value that it rounds.
_ENOUGH_DIGITS = 6


@dataclass(frozen=True)
class PlainNumber:
    """An exact value as it was written; "50%" has the value 50 and is a percentage.

    `decimals` counts the digits behind the decimal point, where it is long enough to be a rounding of another value.
    """

    value: Fraction
    percent: bool = False
    decimals: int | None = None

    @property
    def margin(self) -> Fraction | None:
        """Half a unit of the last digit, by which a value that this one rounds may differ; `None` if it rounds none."""
        return None if self.decimals is None else Fraction(1, 2 * 10**self.decimals)


def parse_plain_number(text: str) -> PlainNumber | None:
    """Read an integer, decimal, fraction `a/b`, mixed number `1 1/2`, `1.5e3` or percentage; `None` for all else.

    Commas are read as thousands separators only where they can be nothing else ("1,234", never "3,14").
    """
    if len(text) > _MAX_LENGTH or (match := _NUMBER.fullmatch(text.strip())) is None:
        return None
    value = _magnitude(match)
    if value is None:
        return None
    decimals = _decimals(match["mantissa"], int(match["exponent"] or 0)) if match["mantissa"] else None
    return PlainNumber(-value if match["sign"] == "-" else value, match["percent"] is not None, decimals)


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


def _decimals(mantissa: str, exponent: int) -> int | None:
    digits, behind = mantissa.replace(",", "").replace(".", "").lstrip("0"), len(mantissa.partition(".")[2]) - exponent
    return behind if len(digits) >= _ENOUGH_DIGITS and behind >= _ENOUGH_DIGITS else None


def close_numbers(answer: PlainNumber, truth: PlainNumber) -> bool:
    """Return whether two values are equal, or one is a decimal that the other rounds to, in its own digits.

    A decimal stands for another value only with six digits or more, in all and behind the point: 0.333333 is 1/3, but
    0.33 is not, and 1/1000001 is never 1/1000000.
    """
    return answer.value == truth.value or _rounds_to(answer, truth) or _rounds_to(truth, answer)


def _rounds_to(exact: PlainNumber, rounded: PlainNumber) -> bool:
    return rounded.margin is not None and abs(exact.value - rounded.value) <= rounded.margin


def equal_numbers(answer: PlainNumber, truth: PlainNumber, *, in_percent: bool = False) -> bool:
    """Compare two numbers as written.

    A percentage is a hundredth of its number: "50%" answers 0.5. Above 1% it also answers its number, which may have
    been asked in percent: "50%" answers 50, but "0.5%" neither 50 nor 0.5, and "1%" not 1.

    Args:
        answer: the number that was given.
        truth: the right one.
        in_percent: the question asks for a percentage, so that "0.5%" answers 0.5 as well.
    """
    if answer.percent == truth.percent:
        return close_numbers(answer, truth)
    percentage, plain = (answer, truth) if answer.percent else (truth, answer)
    hundredth = PlainNumber(percentage.value / 100, decimals=percentage.decimals and percentage.decimals + 2)
    if close_numbers(hundredth, plain):
        return True
    return (in_percent or abs(percentage.value) > 1) and close_numbers(percentage, plain)
