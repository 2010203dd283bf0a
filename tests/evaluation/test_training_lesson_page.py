"""The page of a training's lessons: read back from what a run saves, ordered and filtered in a real browser."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.browser import browser, seen
from tests.support.lessons import group, lesson
from trainers.callbacks import save_lessons
from trainers.evaluation.lesson_page import main, training_lessons, write_training_page
from trainers.evaluation.reports.lesson_page import end_of, training_page_data
from trainers.jsonl import append
from trainers.teaching.lesson import Lesson, Midway

HOSTILE = "</script><script>document.title = 'broken'</script><img src=x onerror=\"document.title='broken'\">"


def of_student(name: str, lesson: Lesson) -> Lesson:
    return replace(lesson, prepared=replace(lesson.prepared, student=name))


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """The output of a run with two steps, whose question 0 was asked twice, of two students."""
    output = tmp_path / "teacher_rcl"
    good = of_student("Mara", lesson([False], True, reward=1.5, teaching=HOSTILE))
    harmful = of_student("Mara", lesson([False], False, reward=0.0, member=1))
    save_lessons(str(output), 0, [group(good, harmful)])
    again = of_student("Pia", lesson([True], False, reward=-1.0))
    malformed = of_student("Pia", lesson([True], None, reward=0.5, teaching=None, member=1))
    lost = replace(of_student("Pia", lesson([True], None, reward=None, row=1)), failure="taught_timeout", taught=None)
    save_lessons(str(output), 12, [group(again, malformed), group(lost)])
    return output


def test_what_was_saved_is_read_back(trained: Path):
    found = list(training_lessons(trained))
    assert [step for step, _ in found] == [0, 0, 12, 12, 12]
    first = found[0][1]
    assert (first.teaching, first.reward, first.taught_correct) == (HOSTILE, 1.5, True)
    assert first.prepared.student == "Mara"
    assert [solution.correct for solution in first.prepared.baselines] == [False]
    assert first.prepared.approach is not None
    assert first.prepared.approach.text == "add"


def test_what_the_student_did_alone_is_that_of_its_own_step(trained: Path):
    data = training_page_data(list(training_lessons(trained)), "")
    assert [(record["step"], record["row"], record["member"]) for record in data["lessons"]] == [
        (12, 0, 0), (12, 0, 1), (12, 1, 0), (0, 0, 0), (0, 0, 1),
    ]  # fmt: skip
    alone = {record["step"]: data["solved"][record["solved"]] for record in data["lessons"] if record["row"] == 0}
    assert [alone[step]["baselines"][0]["correct"] for step in (0, 12)] == [False, True]
    assert data["students"] == ["Mara", "Pia"]


def test_where_there_is_no_room_for_all_the_newest_are_shown(trained: Path):
    lessons = list(training_lessons(trained))
    whole = len(json.dumps(training_page_data(lessons, "")))
    data = training_page_data(lessons, "", max_characters=whole // 2)
    assert 0 < len(data["lessons"]) < 5
    assert data["lessons"][0]["step"] == 12
    assert data["left_out"] == 5 - len(data["lessons"])


def test_the_stage_at_which_a_lesson_ended():
    fine = lesson([False], True)
    unscorable = replace(fine, reward=None)
    assert end_of(fine) == "reward"
    assert end_of(lesson([False], None, teaching=None)) == "teaching"
    assert end_of(replace(unscorable, failure="teacher_http_500")) == "teaching"
    assert end_of(replace(unscorable, failure="taught_timeout")) == "taught"
    assert end_of(replace(unscorable, failure="verdict_timeout")) == "taught"
    assert end_of(replace(unscorable, prepared=replace(fine.prepared, failure="probe_context"))) == "approach"
    assert end_of(replace(lesson([None], True), reward=None)) == "baseline"


def test_a_line_that_is_being_written_is_left_out(trained: Path):
    with (trained / "lessons" / "step_000012.jsonl").open("a") as file:
        file.write('{"format": 1, "step": 12, "row"')
    assert len(list(training_lessons(trained))) == 5


def test_the_command_names_what_is_wrong(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([str(trained)]) == 0
    assert (trained / "lessons.html").is_file()
    assert main([str(tmp_path)]) == 2
    assert "save_completions_probability" in capsys.readouterr().err
    append(trained / "lessons" / "step_000013.jsonl", [{"format": 1, "step": 13}])
    assert main([str(trained)]) == 2
    assert "step_000013.jsonl: holds a line that is not a training's" in capsys.readouterr().err


@browser
@pytest.mark.slow
def test_the_page_filters_by_step_reward_student_and_stage(trained: Path):
    address = write_training_page(trained).as_uri()

    def cards(fragment: str = "") -> list[str]:
        page = seen(address + fragment, trained / "profile").partition("<script id=")[0]
        assert "broken" not in re.search(r"<title>(.*?)</title>", page)[1]
        assert "<img" not in page
        return [
            f"{step}/{row}/{number}"
            for row, number, step in re.findall(r"question (\d+), lesson (\d+), step (\d+)", page)
        ]

    assert cards() == ["12/0/1", "12/0/2", "12/1/1", "0/0/1", "0/0/2"]
    assert cards("#from=1&student=Pia") == ["12/0/1", "12/0/2", "12/1/1"]
    assert cards("#to=11&reward=positive") == ["0/0/1"]
    assert cards("#reward=none") == ["12/1/1"]
    assert cards("#stage=teaching") == ["12/0/2"]
    assert cards("#order=lowest+reward") == ["12/0/1", "0/0/2", "12/0/2", "0/0/1", "12/1/1"]


@browser
@pytest.mark.slow
def test_both_teachings_of_a_lesson_and_what_was_not_to_be_solved_are_on_the_page(tmp_path: Path):
    midway = Midway("", f"look again {HOSTILE}", 7, False, False, False, "add(2, 2) → 5", 9, truncated=False)
    told = lesson([False], True, teaching="add the two")
    assert told.taught is not None
    twice = replace(told, taught=replace(told.taught, midway=midway), teaching_length=12)
    untold = replace(told, taught=replace(told.taught, midway=replace(midway, teaching=None)), member=1)
    unsolved = lesson([], None, row=1, reward=None)
    unsolved = replace(unsolved, taught=None, prepared=replace(unsolved.prepared, unsolved=True))
    save_lessons(str(tmp_path), 0, [group(twice, untold), group(unsolved)])
    page = seen(write_training_page(tmp_path).as_uri(), tmp_path / "profile").partition("<script id=")[0]
    first, second, third = re.findall(r"<article>(.*?)</article>", page, re.DOTALL)
    assert "12 tokens in both" in first
    assert (
        first.index("add the two")
        < first.index("second teaching, in the middle")
        < first.index("look again &lt;/script")
    )
    assert "add(2, 2) → 5" in first
    assert "no well-formed teaching" in second
    assert "not to solve" not in first + second
    assert "the student was not to solve this question" in third
    assert "unscorable" not in third
