"""The files of a run, as the page gets them: read on as they grow, without what JSON and a browser cannot take."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.lessons import group, lesson, solution
from trainers.callbacks import save_lessons
from trainers.jsonl import append
from trainers.teaching.lesson import Lesson, Midway
from trainers.watching.run_files import LAST_LESSONS, MOST_CHARACTERS, MOST_POINTS, GrowingFile, RunFiles


def panel(view: dict, title: str) -> dict:
    [found] = [shown for shown in view["panels"] if shown["title"] == title]
    return found


def test_a_run_that_has_not_begun_shows_nothing(tmp_path: Path):
    view = RunFiles(tmp_path / "teacher_rcl").view()
    assert (view["name"], view["step"], view["finished"]) == ("teacher_rcl", None, False)
    assert view["panels"] == view["alarms"] == view["lessons"] == []


def test_curves_go_on_as_the_file_grows_and_the_last_of_a_step_counts(tmp_path: Path):
    run = RunFiles(tmp_path)
    append(tmp_path / "metrics.jsonl", ({"step": step, "time": 1.0, "reward": step / 10} for step in (1, 2, 3)))
    assert panel(run.view(), "Reward")["curves"][0]["points"] == [[1, 0.1], [2, 0.2], [3, 0.3]]
    append(tmp_path / "metrics.jsonl", ({"step": step, "time": 2.0, "reward": 1.0} for step in (3, 4)))
    append(tmp_path / "metrics.jsonl", [{"step": 4, "time": 3.0, "eval_teaching/accuracy_gain": 0.25}])
    view = run.view()
    assert panel(view, "Reward")["curves"][0]["points"] == [[1, 0.1], [2, 0.2], [3, 1.0], [4, 1.0]]
    assert panel(view, "Held-out questions")["curves"][0]["points"] == [[4, 0.25]]
    assert (view["step"], view["time"]) == (4, 3.0)


def test_a_line_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    rows = GrowingFile(path)
    assert rows.rows() == []
    path.write_text('{"a": 1}\n{"a"')
    assert rows.rows() == [{"a": 1}]
    with path.open("a") as file:
        file.write(': "ü"}\nno json\n[]\n')
    assert rows.rows() == [{"a": 1}, {"a": "ü"}]


def test_a_file_that_became_shorter_is_read_anew(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n')
    rows = GrowingFile(path)
    assert len(rows.rows()) == 2
    path.write_text('{"a": 3}\n')
    assert rows.rows() == [{"a": 3}]


def test_what_is_no_number_does_not_reach_the_page(tmp_path: Path):
    values = (float("nan"), float("inf"), "text", None, 0.5)
    append(tmp_path / "metrics.jsonl", ({"step": step, "kl": value} for step, value in enumerate(values)))
    view = RunFiles(tmp_path).view()
    json.dumps(view, allow_nan=False)
    assert [curve["points"] for shown in view["panels"] for curve in shown["curves"]] == [[[4, 0.5]]]


def test_long_runs_are_thinned_out_and_keep_their_last_step(tmp_path: Path):
    append(tmp_path / "metrics.jsonl", ({"step": step, "reward": 0.0} for step in range(1, 1002)))
    points = panel(RunFiles(tmp_path).view(), "Reward")["curves"][0]["points"]
    assert MOST_POINTS / 2 < len(points) <= MOST_POINTS
    assert points[-1] == [1001, 0.0]


def test_the_last_lessons_are_shown_the_newest_step_first(tmp_path: Path):
    for step in (3, 20, 100):
        members = [lesson([False, True], True, row=step, member=each, teaching=f"{each}") for each in range(5)]
        save_lessons(str(tmp_path), step, [group(*members)])
    found = RunFiles(tmp_path).view()["lessons"]
    assert [shown["step"] for shown in found] == [100] * 5 + [20] * 5 + [3] * (LAST_LESSONS - 10)
    assert (found[0]["alone"], found[0]["correct"], found[0]["reward"]) == ([False, True], True, 1.0)
    assert [title for title, _ in found[0]["texts"]] == [
        "question", "the student's approach", "teaching", "taught solution",
    ]  # fmt: skip


def test_lessons_that_nobody_was_to_solve_say_so_and_come_last(tmp_path: Path):
    solved, unsolved = lesson([False], True), lesson([], None, row=1, reward=None)
    unsolved = replace(unsolved, taught=None, prepared=replace(unsolved.prepared, unsolved=True))
    failed = replace(lesson([], None, row=2, reward=None), taught=None, failure="baseline_timeout")
    for step in (0, 1):
        save_lessons(str(tmp_path), step, [group(unsolved), group(solved), group(failed)])
    found = RunFiles(tmp_path).view()["lessons"]
    assert [(shown["step"], shown["row"], shown["solved"]) for shown in found] == [
        (1, 0, True), (1, 2, True), (1, 1, False), (0, 0, True), (0, 2, True), (0, 1, False),
    ]  # fmt: skip


def test_without_a_teaching_nothing_was_taught_right(tmp_path: Path):
    save_lessons(str(tmp_path), 0, [group(lesson([True], None, teaching=None))])
    [shown] = RunFiles(tmp_path).view()["lessons"]
    assert (shown["correct"], dict(shown["texts"])["teaching"]) == (False, "c")


def test_second_teachings_are_shown_and_tell_lessons_apart(tmp_path: Path):
    def twice(member: int, second: str | None) -> Lesson:
        made = lesson([False], True, member=member)
        midway = Midway("", second, 1, False, False, False, "2 + 2", 5, truncated=False)
        return replace(made, taught=replace(solution(True), midway=midway))

    save_lessons(str(tmp_path), 0, [group(twice(0, "look again"), twice(1, "look again"), twice(2, None))])
    texts = [dict(shown["texts"]) for shown in RunFiles(tmp_path).view()["lessons"]]
    assert [(said["teaching"], said.get("second teaching")) for said in texts] == [
        ("do it", "look again"), ("do it", "no well-formed teaching"),
    ]  # fmt: skip


def test_lessons_of_a_group_that_say_the_same_are_shown_once(tmp_path: Path):
    for step in (1, 2):
        members = [lesson([False], right, row=7, member=each) for each, right in enumerate((True, False, True, True))]
        save_lessons(str(tmp_path), step, [group(*members)])
    found = RunFiles(tmp_path).view()["lessons"]
    assert [(shown["step"], shown["correct"]) for shown in found] == [(2, True), (2, False), (1, True), (1, False)]


@pytest.mark.parametrize("reward", [None, float("nan")])
def test_a_text_without_end_and_a_reward_that_is_none_are_no_trouble(tmp_path: Path, reward: float | None):
    save_lessons(str(tmp_path), 0, [group(lesson([None], None, reward=reward, teaching="x" * 10**6))])
    view = RunFiles(tmp_path).view()
    json.dumps(view, allow_nan=False)
    [shown] = view["lessons"]
    assert shown["reward"] is None
    assert len(dict(shown["texts"])["teaching"]) == MOST_CHARACTERS + 1
