"""Tables in README and docs are those of the recorded data, and so are the numbers of their sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.benchmarks.tools import recorded_tables
from scripts.benchmarks.tools.recorded_tables import DATA, END, Named, pages, recorded, table, untied, written

PAGES = {str(page.relative_to(recorded_tables.ROOT)): page for page in pages()}
SPEED = {
    "date": "2026-11-28",
    "commit": "61270ee",
    "machine": "two cores",
    "command": "python -m measured",
    "columns": ["variant", "tok/s"],
    "rows": [["ours", "1,234"], ["theirs", "99.5%"]],
}
PAGE = f"""# Speed

<!-- table: speed -->
| old |
{END}

We reach <!-- number: speed/0/1 -->999 tok/s, <!-- another number -->1,234 rows, and 0.5.
"""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of recorded data with one file."""
    monkeypatch.setattr(recorded_tables, "DATA", tmp_path)
    (tmp_path / "speed.json").write_text(json.dumps(SPEED))
    recorded.cache_clear()
    yield tmp_path
    recorded.cache_clear()


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_the_page_is_what_the_data_make_of_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert written(text) == text, "run: python -m scripts.benchmarks.tools.recorded_tables"


def test_no_sentence_repeats_a_number_of_a_table_without_being_tied_to_it() -> None:
    assert list(untied({name: page.read_text(encoding="utf-8") for name, page in PAGES.items()})) == []


def test_all_that_is_recorded_is_shown() -> None:
    texts = "".join(page.read_text(encoding="utf-8") for page in PAGES.values())
    names = [path.stem for path in DATA.glob("*.json")]
    assert len(names) >= 10
    assert [name for name in names if f"<!-- table: {name}" not in texts] == []


def test_tables_and_numbers_are_written_anew(data: Path) -> None:
    text = written(PAGE)
    assert "| variant | tok/s |\n| --- | --- |\n| ours | 1,234 |\n| theirs | 99.5% |\n<!-- end of table -->" in text
    assert "We reach <!-- number: speed/0/1 -->1,234 tok/s, <!-- another number -->1,234 rows" in text
    assert "| old |" not in text
    assert written(text) == text


def test_numbers_that_are_not_tied_are_named(data: Path) -> None:
    text = written(PAGE) + "\n1,234 tok/s, or 99.5% of it; `1,234` is code, 234 and 11,234 are others.\n"
    assert list(untied({"page.md": text})) == [Named("page.md", "1,234"), Named("page.md", "99.5%")]


def test_data_say_where_they_come_from(data: Path) -> None:
    (data / "speed.json").write_text(json.dumps({key: SPEED[key] for key in SPEED if key != "commit"}))
    with pytest.raises(ValueError, match=r"speed\.json does not say its commit"):
        written(PAGE)


def test_an_evaluation_is_a_table_of_chosen_rows_and_arms(data: Path) -> None:
    known, unknown = {"mean": 0.5, "low": 0.25, "high": 0.75, "n": 9}, {"mean": None, "low": None, "high": None, "n": 0}
    arms = [{"name": "student alone", "accuracy": known}, {"name": "T", "accuracy": known, "accuracy_gain": unknown}]
    (data / "evaluation.json").write_text(json.dumps({**SPEED, "arms": arms}))
    assert table("evaluation", "rows=accuracy,accuracy_gain").rows == (
        ("accuracy", "50.0% [25.0%, 75.0%]", "50.0% [25.0%, 75.0%]", "9"),
        ("accuracy gain (points)", "", "n/a", "0"),
    )
    assert table("evaluation", "arms=T").header == ("", "T", "questions")
    assert [row[0] for row in table("evaluation").rows] == ["accuracy", "accuracy gain (points)"]
