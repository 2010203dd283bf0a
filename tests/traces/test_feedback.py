"""Feedback is taken for lessons that there are, and the last word on each counts."""

import pytest

from tests.traces.test_recorder import trace
from trainers.traces.feedback import FeedbackBox, FeedbackLostError, UnknownLessonError, latest_feedback
from trainers.traces.files import FEEDBACK, NumberedFiles, files_of
from trainers.traces.recorder import TraceRecorder


def recorded(directory, *ids):
    recorder = TraceRecorder(directory)
    for lesson in ids:
        recorder.record(trace(id=lesson))
    return FeedbackBox(directory)


def test_the_last_word_on_each_lesson_counts(tmp_path):
    box = recorded(tmp_path, "a", "b")
    for lesson, score, comment in (("a", 1, "good"), ("b", 0.5, ""), ("a", 0, "no, wrong")):
        box.give(lesson, score, comment)
    latest = latest_feedback(tmp_path)
    assert {lesson: (given.score, given.comment) for lesson, given in latest.items()} == {
        "a": (0, "no, wrong"),
        "b": (0.5, ""),
    }


def test_the_last_word_counts_whichever_process_took_it(tmp_path):
    first, second = recorded(tmp_path, "a"), FeedbackBox(tmp_path)
    second.give("a", 0.1)
    first.give("a", 0.2)
    second.give("a", 0.3)
    assert len(files_of(tmp_path, FEEDBACK)) == 2
    assert latest_feedback(tmp_path)["a"].score == 0.3


def test_feedback_on_a_lesson_that_is_not_there_is_refused_and_not_written(tmp_path):
    box = recorded(tmp_path, "a")
    with pytest.raises(UnknownLessonError, match="'c'"):
        box.give("c", 1)
    assert files_of(tmp_path, FEEDBACK) == []


def test_lessons_that_others_write_later_are_known(tmp_path):
    box = recorded(tmp_path, "a")
    box.give("a", 1)
    recorded(tmp_path, "b")
    assert box.give("b", 1).id == "b"


@pytest.mark.parametrize("answer", ["chatcmpl-a", "resp_a", "a"])
def test_an_answer_names_its_lesson(tmp_path, answer):
    assert recorded(tmp_path, "a").give(answer, 1).id == "a"


@pytest.mark.parametrize("score", [-0.1, 1.1, 5, float("nan")])
def test_a_score_off_the_scale_is_refused(tmp_path, score):
    with pytest.raises(ValueError, match="from 0"):
        recorded(tmp_path, "a").give("a", score)


def test_a_comment_is_redacted(tmp_path):
    assert recorded(tmp_path, "a").give("a", 1, "from jo@example.com").comment == "from [EMAIL]"
    assert latest_feedback(tmp_path)["a"].comment == "from [EMAIL]"


def test_what_cannot_be_redacted_or_written_is_told(tmp_path, monkeypatch, caplog):
    recorded(tmp_path, "a")

    def broken(text):
        raise ValueError(text)

    with pytest.raises(FeedbackLostError):
        FeedbackBox(tmp_path, redact=[broken]).give("a", 1, "a secret")

    def full(self, row):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(NumberedFiles, "append", full)
    with pytest.raises(FeedbackLostError):
        FeedbackBox(tmp_path).give("a", 1)
    assert "free some space" in caplog.text
    assert "a secret" not in caplog.text
    assert latest_feedback(tmp_path) == {}


def test_a_line_that_is_none_is_passed_over(tmp_path):
    recorded(tmp_path, "a").give("a", 1)
    with files_of(tmp_path, FEEDBACK)[0].open("a", encoding="utf-8") as file:
        file.write('{"id": "a"}\n{"id": "a", "score": "?"}\n{"id": "a", "sc')
    assert latest_feedback(tmp_path)["a"].score == 1
