"""Points, intervals and sets of plain numbers: decided exactly, without parsing LaTeX."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from trainers.teaching.verifiers.mathematics.numbers import equal_values, parse_plain_number

_LIST = re.compile(r"(?P<open>\\\{|[(\[]|)(?P<elements>[^()\[\]{}\\]*,[^()\[\]{}\\]*)(?P<close>\\\}|[)\]]|)")
_BRACES, _NONE, _PARENTHESES = ("\\{", "\\}"), ("", ""), ("(", ")")


@dataclass(frozen=True)
class NumberList:
    """Numbers in the order written, and the brackets around them."""

    brackets: tuple[str, str]
    values: tuple[Fraction | str, ...]


def parse_list(text: str) -> NumberList | None:
    r"""Read "(1, 2]", "\{1, 2\}" or "1, 2" of plain numbers and infinities (kept as text); `None` for all else."""
    text = text.replace("\\infty", "oo")
    match = _LIST.fullmatch(text)
    if match is None or re.fullmatch(r"\d{1,3}(?:,\d{3})+", text):
        return None
    brackets = (match["open"], match["close"])
    if (_BRACES[0] in brackets and brackets != _BRACES) or ("" in brackets and brackets != _NONE):
        return None
    values = tuple(_element(element.strip()) for element in match["elements"].split(","))
    known = tuple(value for value in values if value is not None)
    return NumberList(brackets, known) if len(known) == len(values) else None


def _element(text: str) -> Fraction | str | None:
    if text.lstrip("+-") == "oo" and len(text) <= 3:
        return text.replace(" ", "").lstrip("+")
    number = parse_plain_number(text)
    return number.value if number is not None and not number.percent else None


def equal_lists(answer: NumberList, truth: NumberList) -> bool | None:
    """Compare two lists; `None` where notation leaves open whether they are the same.

    Bare numbers are a set, or a point when the other side is one; braces and parentheses never agree.
    """
    kinds = {answer.brackets, truth.brackets}
    if kinds in ({_BRACES}, {_NONE}, {_BRACES, _NONE}):
        return _same_set(answer.values, truth.values)
    if len(kinds) == 1 or kinds == {_NONE, _PARENTHESES}:
        return _same_sequence(answer.values, truth.values)
    return None if _NONE in kinds else False


def _same_value(answer: Fraction | str, truth: Fraction | str) -> bool:
    if isinstance(answer, str) or isinstance(truth, str):
        return answer == truth
    return equal_values(answer, truth)


def _same_sequence(answer: tuple[Fraction | str, ...], truth: tuple[Fraction | str, ...]) -> bool:
    return len(answer) == len(truth) and all(_same_value(a, t) for a, t in zip(answer, truth, strict=True))


def _same_set(answer: tuple[Fraction | str, ...], truth: tuple[Fraction | str, ...]) -> bool:
    return all(any(_same_value(a, t) for t in truth) for a in answer) and all(
        any(_same_value(a, t) for a in answer) for t in truth
    )
