"""JSON-lines files are written in their own letters, and read without lines that are none."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from trainers.jsonl import append, as_lines, mend, whole_rows


def test_texts_stand_in_a_file_as_people_read_them(tmp_path: Path) -> None:
    assert as_lines([{"a": "Grüße, 数"}, {"b": None}]) == '{"a": "Grüße, 数"}\n{"b": null}\n'
    path = tmp_path / "new" / "directory" / "rows.jsonl"
    append(path, [{"a": "é"}])
    append(path, [{"b": 1}, {"c": "two\u2028lines\n"}])
    assert path.read_text(encoding="utf-8") == '{"a": "é"}\n{"b": 1}\n{"c": "two\u2028lines\\n"}\n'
    assert whole_rows(path) == [{"a": "é"}, {"b": 1}, {"c": "two\u2028lines\n"}]


def test_lines_that_are_no_objects_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert whole_rows(path) == []
    path.write_bytes(b'{"a": 1}\n\n[2]\n{"b": "\xff"}\n{"c": 3}\n{"d": "\xc3')
    assert whole_rows(path) == [{"a": 1}, {"b": "\ufffd"}, {"c": 3}]


@pytest.mark.parametrize(("torn", "lost"), [(b"", 0), (b'{"b": "\xc3', 8)])
def test_what_follows_the_last_whole_line_is_cut_off_and_told(
    torn: bytes, lost: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rows.jsonl"
    assert mend(path) == 0
    path.write_bytes(b'{"a": 1}\n' + torn)
    with caplog.at_level(logging.WARNING):
        assert mend(path) == lost
    assert path.read_bytes() == b'{"a": 1}\n'
    assert [str(lost) in message for message in caplog.messages] == [True] * bool(lost)
