"""Text that reads the same is spelled the same, and numbers of other notations have their values."""
# ruff: noqa: RUF001 - teachings are written in these characters

from __future__ import annotations

from fractions import Fraction

import pytest

from trainers.teaching.leaks.expressions import find_expressions
from trainers.teaching.leaks.numerals import other_numerals
from trainers.teaching.leaks.spelling import join_digits, plain


@pytest.mark.parametrize(
    ("written", "read"),
    [
        # mathematical letters and digits, from the first on; those of another width; numbers in circles, up to 20
        ("\U0001d400\U0001d7ff", "A9"),
        ("！４２～", "!42~"),
        ("①⑳⑴", "120⑴"),
        # digits of other scripts, what is invisible, what is written above or below
        ("a\u0660b", "a0b"),
        ("4\u200b2", "42"),
        ("e\u0301", "e"),
        ("答42是", "答 42 是"),
        # markup
        ("<b>42</b> &#52;2", "42 42"),
        (r"\textbf{42} {4}{2} 4\!2", "42 42 42"),
        ("_42_ ~~x~~", "42 x"),
        ("x_1 < y & 2", "x_1 < y & 2"),
    ],
)
def test_text_that_reads_the_same_is_spelled_the_same(written: str, read: str) -> None:
    assert plain(written) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [("4 2 7", "427"), ("4 - 2", "42"), ("4_2", "42"), ("4·2", "42"), ("1,4 2", "1,4 2"), ("4 25", "4 25")],
)
def test_digits_one_by_one_are_a_number(written: str, read: str) -> None:
    assert join_digits(f"see {written} there") == f"see {read} there"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0b101010", 42), ("0o52", 42), ("0x2A", 42), ("101010_2", 42), ("(2A)_{16}", 42),
        ("binary 101010", 42), ("52 in octal", 42), ("2A as hex", 42), ("132 base 5", 42), ("132 in base-5", 42),
        ("XLII", 42), ("MCMXCIV", 1994), ("MIX", 1009),
        ("四十二", 42), ("十二万三千", 123_000), ("三万", 30_000), ("两千", 2000), ("一百零五", 105),
        ("一千二百三十四", 1234),
        ("3.5k", 3500), ("4.2 x 10^1", 42), (r"42 \times 10^{3}", 42_000),
    ],
)  # fmt: skip
def test_a_number_in_another_notation_has_its_value(written: str, value: int) -> None:
    assert list(other_numerals(written)) == [(0, len(written), Fraction(value))]
    text = f"see {written}."
    assert list(other_numerals(text)) == [(4, len(text) - 1, Fraction(value))]


@pytest.mark.parametrize("written", ["9 base 8", "12 base 40", "1 base 1", "102_2", "MILD", "item 3k2", "42"])
def test_what_is_no_number_in_its_notation_has_none(written: str) -> None:
    assert list(other_numerals(written)) == []


def test_what_is_no_number_hides_none_behind_it() -> None:
    assert list(other_numerals("IIII, or XII")) == [(9, 12, Fraction(12))]
    assert list(other_numerals("9 base 2, or 11 base 2")) == [(13, 22, Fraction(3))]


@pytest.mark.parametrize(
    "written",
    [
        "6*7", "41 + 1", "41 plus one", "43 minus 1", "84/2", "84 divided by 2", "2 * 20 + 2", "(6 + 36)", "6 × 7",
        "1 more than 41", "just below 43", "three less than 45", "between 41 and 43", "half of 84", "twice 21",
        "triple 14", "square root of 1764", "after 41", "before 43", "follows 41", "precedes 43",
    ],
)  # fmt: skip
def test_a_last_step_that_is_left_open_has_a_value(written: str) -> None:
    text = f"it is {written} there"
    assert list(find_expressions(text, Fraction(42), "")) == [(6, 6 + len(written))]
    assert list(find_expressions(text, Fraction(43), "")) == []
    # Where question and approach have all its numbers, it only says what to do with them.
    assert list(find_expressions(text, Fraction(42), text)) == []
