"""Lessons reach the disk whole, redacted, readable by their owner only, in files of a bounded size."""

import json
import os
import stat
import threading
from dataclasses import replace

import pytest

from trainers import jsonl
from trainers.problems import ConfigurationError
from trainers.traces.files import LESSONS, NumberedFiles, files_of, rows_of
from trainers.traces.recorder import TraceRecorder
from trainers.traces.trace import OF_SECOND_TEACHING, TEXTS, Trace, lesson_id, new_id


def trace(**fields):
    known = dict.fromkeys(("teaching", "taught"))
    known |= dict.fromkeys(("conversation", "student", "teacher", "question", "approach", "thinking"), "")
    return Trace(**{**known, "id": new_id(), **fields})


def test_a_lesson_is_one_line_with_all_that_it_was(tmp_path):
    given = trace(id="7", question="2 + 2?", teaching="add", taught="4", seconds={"answer": 0.12345})
    twice = replace(given, id="8", transcript="add(2, 2) → 5", second_thinking="", second_teaching="look again")
    recorder = TraceRecorder(tmp_path / "new")
    assert [recorder.record(each) for each in (given, twice)] == [True, True]
    once, again = rows_of(tmp_path / "new", LESSONS)
    written = {"format": 1, "seconds": {"answer": 0.123}}
    assert again == {**vars(twice), **written}
    # A teacher that spoke once leaves no words on a second teaching.
    assert once == {name: value for name, value in {**vars(given), **written}.items() if name not in OF_SECOND_TEACHING}


@pytest.mark.parametrize("name", TEXTS)
def test_every_text_is_redacted(tmp_path, name):
    TraceRecorder(tmp_path).record(trace(**{"transcript": "", name: "ask jo@example.com"}))
    [path] = files_of(tmp_path, LESSONS)
    assert "jo@" not in path.read_text(encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8"))[name] == "ask [EMAIL]"


def test_without_redactors_texts_stay(tmp_path):
    TraceRecorder(tmp_path, redact=()).record(trace(question="ask jo@example.com"))
    assert next(rows_of(tmp_path, LESSONS))["question"] == "ask jo@example.com"


@pytest.mark.parametrize("broken", [lambda text: 1 / 0, lambda text: None])
def test_what_cannot_be_redacted_is_not_written_and_not_told(tmp_path, caplog, broken):
    assert not TraceRecorder(tmp_path, redact=[broken]).record(trace(id="7", question="a secret"))
    assert list(tmp_path.iterdir()) == []
    assert "7 is not recorded" in caplog.text
    assert "a secret" not in caplog.text


def test_files_and_directory_are_their_owners_only(tmp_path):
    before = os.umask(0)
    try:
        TraceRecorder(tmp_path / "new").record(trace())
    finally:
        os.umask(before)
    [path] = files_of(tmp_path / "new", LESSONS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_is_full_is_followed_by_the_next(tmp_path):
    recorder = TraceRecorder(tmp_path, max_bytes=1500)
    for number in range(20):
        recorder.record(trace(question=f"{number}" * 50))
    files = files_of(tmp_path, LESSONS)
    assert len(files) > 3
    assert all(path.stat().st_size <= 1500 for path in files)
    assert [row["question"][: len(row["question"]) // 50] for row in rows_of(tmp_path, LESSONS)] == [
        str(number) for number in range(20)
    ]


def test_a_row_larger_than_a_file_has_one_of_its_own(tmp_path):
    recorder = TraceRecorder(tmp_path, max_bytes=10)
    recorder.record(trace())
    recorder.record(trace())
    assert [len(jsonl.whole_rows(path)) for path in files_of(tmp_path, LESSONS)] == [1, 1]


def test_a_line_that_a_dead_writer_left_takes_no_other_with_it(tmp_path):
    TraceRecorder(tmp_path).record(trace(id="1"))
    with files_of(tmp_path, LESSONS)[0].open("a", encoding="utf-8") as file:
        file.write('{"id": "half')
    TraceRecorder(tmp_path).record(trace(id="2"))
    assert [row["id"] for row in rows_of(tmp_path, LESSONS)] == ["1", "2"]


def test_writers_of_one_directory_and_threads_of_one_writer_lose_nothing(tmp_path):
    recorders = [TraceRecorder(tmp_path, max_bytes=3000) for _ in range(3)]

    def write(recorder, begin):
        for number in range(40):
            recorder.record(trace(id=f"{begin}-{number}"))

    threads = [
        threading.Thread(target=write, args=(recorder, f"{place}{half}"))
        for place, recorder in enumerate(recorders)
        for half in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [row["id"] for row in rows_of(tmp_path, LESSONS)]
    assert len(ids) == len(set(ids)) == 240


def test_a_full_disk_costs_the_lesson_and_nothing_else(tmp_path, monkeypatch, caplog):
    def full(self, row):
        raise OSError(28, "No space left on device")

    recorder = TraceRecorder(tmp_path)
    monkeypatch.setattr(NumberedFiles, "append", full)
    assert recorder.record(trace()) is False
    assert "free some space" in caplog.text


def test_halves_of_characters_are_written_all_the_same(tmp_path):
    assert TraceRecorder(tmp_path).record(trace(taught="\ud83d\ude00 and \ud83d"))
    assert next(rows_of(tmp_path, LESSONS))["taught"] == "😀 and \ufffd"


def test_a_directory_that_is_none_is_refused(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="record="):
        TraceRecorder(tmp_path / "file")


@pytest.mark.parametrize("answer", ["chatcmpl-ab12", "resp_ab12", "cmpl-chatcmpl-ab12", "ab12"])
def test_a_lesson_is_known_by_the_id_of_its_answer(answer):
    assert lesson_id(answer) == "ab12"
