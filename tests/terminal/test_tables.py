"""Tables fit the terminal, and no word of theirs is broken."""

from __future__ import annotations

import pytest
from rich.console import Console

from trainers.terminal.tables import tables_within

HEADER = ("", "student alone", "SFT-only teacher", "GRPO teacher", "questions")
ROWS = [
    ("accuracy", "44.3% [38.2%, 50.6%]", "36.4% [32.9%, 40.0%]", "95.1% [93.7%, 96.4%]", "234"),
    ("maximum improvement (points, best level)", "", "+21.8 [+7.1, +35.9]", "+63.5 [+47.4, +78.2]", "39"),
    ("learning efficiency (points per 1,000 guidance tokens)", "", "-143.5 [-257.0, -31.5]", "+981.6", "234"),
]


def shown(width: int, header: tuple[str, ...] = HEADER, rows: list[tuple[str, ...]] = ROWS) -> str:
    """Return the text of the tables on a terminal of so many characters."""
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        for table in tables_within(width, "Results", header, rows):
            console.print(table)
    return captured.get()


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_word_and_no_interval_is_broken(width: int) -> None:
    text = shown(width)
    assert max(map(len, text.splitlines())) <= width
    for cell in (cell for row in (HEADER, *ROWS) for cell in row):
        for piece in cell.replace(" [", "\n[").split("\n"):
            for unit in [piece] if piece.startswith("[") else piece.split():
                assert unit in text


def test_a_wide_terminal_has_one_line_for_each_row() -> None:
    lines = [line.rstrip() for line in shown(160).splitlines()]
    assert len(lines) == 3 + len(ROWS)
    assert lines[3] == (f"{ROWS[0][0]:54}  {ROWS[0][1]:>20}  {ROWS[0][2]:>22}  {ROWS[0][3]:>20}  {'234':>9}")


def test_80_characters_hold_three_arms() -> None:
    assert shown(80).count("Results") == 1


def test_more_arms_than_fit_stand_in_several_tables_with_all_names_of_rows() -> None:
    header = ("", *(f"checkpoint-{step}" for step in range(9)))
    rows = [("accuracy", *(f"{step}0.0% [30.0%, 99.9%]" for step in range(9)))]
    text = shown(80, header, rows)
    assert text.count("Results") == text.count("accuracy") == 3
    assert all(name in text for name in header)


def test_what_is_longer_than_any_column_is_folded() -> None:
    text = shown(50, ("", "/a/path/that/is/longer/than/the/terminal/is/wide"), [("accuracy", "50.0%")])
    assert max(map(len, text.splitlines())) <= 50
    assert "/a/path/that/is/longer" in text
