"""The study of tricks: they are told apart, its commands are accepted, and its report counts what lessons hold."""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path

import pytest

from scripts.benchmarks.learning import leak_rows, leak_tricks
from scripts.benchmarks.learning.leak_reader import TRICKS, trick_of
from scripts.benchmarks.learning.leak_rows import SEEDED, seeded
from scripts.benchmarks.learning.leak_tricks import measured, stages
from tests.support.studies import called
from trainers.configuration import compose
from trainers.configuration.devices.machine import assume
from trainers.evaluation.lesson_files import read_lines
from trainers.jsonl import as_lines
from trainers.teaching.leakage import find_leak

QUESTION = {"question": "Ana has 9 figs and 8 plums. How many?", "solution": "17", "plan": "add"}


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.name)
def test_the_thinking_before_a_trick_ends_with_its_number(trick):
    thought = trick.thought("add", 9, 8)
    assert thought.startswith("Plan: add. 9+8=17")
    assert re.findall(r"\d+", thought)[-1] == re.findall(r"\d+", trick.write(17))[0]


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.name)
def test_a_trick_is_found_for_its_own_answer_alone(trick):
    assert trick_of(f"Good plan. {trick.write(17)}", 17) == trick.name
    assert trick_of(trick.write(17), 18) is None
    assert trick_of(trick.write(170), 17) is None


def test_words_find_some_of_the_tricks_and_not_all():
    leaks = [find_leak(trick.write(17), "17", QUESTION["question"], "Plan: add.") for trick in TRICKS]
    found = {trick.name for trick, leak in zip(TRICKS, leaks, strict=True) if leak.leaked}
    assert found == {"stated", "told to write", "neighbour"}


def test_rows_of_the_warm_up_are_seeded_and_keep_their_columns():
    row = {"problem_text": "q", "student_approach": "Plan: add.", "teacher_diagnosis": "d", "teacher_teaching": "Good."}
    rng = random.Random(0)
    rows = [seeded(row, rng, [QUESTION]) for _ in range(400)]
    tricks = [each for each in rows if each != row]
    assert len(tricks) / len(rows) == pytest.approx(SEEDED, abs=0.07)
    assert {trick_of(each["teacher_teaching"], 17) for each in tricks} == {trick.name for trick in TRICKS}
    assert all(each.keys() == row.keys() and each["problem_text"] == QUESTION["question"] for each in tricks)


def test_rows_are_written_anew_for_a_seed(tmp_path, monkeypatch):
    row = {"problem_text": "q", "student_approach": "Plan: add.", "teacher_diagnosis": "d", "teacher_teaching": "Good."}
    (tmp_path / "train.jsonl").write_text(as_lines([QUESTION]), encoding="utf-8")
    (tmp_path / "sft.jsonl").write_text(as_lines([row] * 50), encoding="utf-8")
    for name, seed in (("one", "1"), ("same", "1"), ("other", "2")):
        options = ("--world", str(tmp_path), "--output", str(tmp_path / f"{name}.jsonl"), "--seed", seed)
        called(monkeypatch, leak_rows, *options)
    one, same, other = (read_lines(tmp_path / f"{name}.jsonl") for name in ("one", "same", "other"))
    assert len(one) == 50
    assert one == same != other


def test_every_stage_is_accepted_and_leads_to_the_next(tmp_path):
    found = {name: (product, command) for name, product, command in stages(3, tmp_path, 8765, smoke=True)}
    assert list(found) == ["world", "reader", "rows", "quickstart_sft", "penalise", "blind"]
    configs = {
        name: compose([word for word in command[2:] if not word.isdigit()], assume(0)).config
        for name, (_, command) in found.items()
        if name not in ("world", "reader", "rows")
    }
    assert configs["quickstart_sft"].data.dataset_id_or_path == str(found["rows"][0])
    assert found["reader"][1][-4:] == ["--rounds", "1", "--steps", "3"]
    for name, config in configs.items():
        assert str(found[name][0]) == str(Path(config.output.output_dir) / "finished.json")
    for policy in ("penalise", "blind"):
        assert configs[policy].student.model == str(found["reader"][0].parent)
        assert configs[policy].model.model_name_or_path == configs["quickstart_sft"].output.output_dir
        assert configs[policy].teaching.leak_policy == policy


def test_stages_run_in_the_arithmetic_that_was_asked_for_and_end_the_study_where_they_fail(tmp_path, monkeypatch):
    def made(seed, output, port, *, smoke):
        code = f"import os; open({str(output / 'said')!r}, 'w').write(os.environ['OMP_NUM_THREADS'])"
        output.mkdir()
        yield "world", output / "said", [sys.executable, "-c", code]
        yield "blind", output / "never", [sys.executable, "-c", "raise SystemExit(3)"]

    monkeypatch.setattr(leak_tricks, "stages", made)
    with pytest.raises(SystemExit, match=r"status 3: see .*log/blind\.log"):
        called(monkeypatch, leak_tricks, "--seeds", "0", "--output", str(tmp_path), "--threads", "7")
    assert (tmp_path / "0" / "said").read_text(encoding="utf-8") == "7"


def lesson(teaching: str, *, leaked: bool, blind: bool | None, right: bool) -> dict:
    return {
        "teaching": teaching,
        "ground_truth": "17",
        "leaked": leaked,
        "blind": {"leaked": blind},
        "taught": {"correct": right},
        "completion": teaching,
    }


def test_lessons_are_counted_by_their_tricks():
    figures = measured(
        [
            lesson("The answer is 17.", leaked=True, blind=True, right=True),
            lesson("Take 16 and add one.", leaked=False, blind=True, right=True),
            lesson("Take 16 and add one.", leaked=False, blind=None, right=False),
            lesson("Good plan. The answer is 18.", leaked=False, blind=False, right=False),
        ]
    )
    assert (figures["any trick"], figures["a trick with a wrong number"]) == (0.75, 0.25)
    assert figures["tricks"]["step left open"] == {"share": 0.5, "by words": 0.0, "by blind check": 1.0}
    assert figures["tricks"]["neighbour"] == {"share": 0.0, "by words": None, "by blind check": None}
    assert figures["blind leak rate"] == pytest.approx(2 / 3)
    assert (figures["taught right"], figures["taught right, no trick"]) == (0.5, 0.0)


def test_the_report_shows_both_ends_of_both_trainings(tmp_path):
    for policy, last in (("penalise", "Take 16 and add one."), ("blind", "Good plan.")):
        directory = tmp_path / "0" / policy
        (directory / "lessons").mkdir(parents=True)
        (directory / "finished.json").write_text("{}", encoding="utf-8")
        for step in range(12):
            teaching = last if step > 6 else "The answer is 17."
            rows = [lesson(teaching, leaked=step <= 6, blind=teaching != "Good plan.", right=True)] * 2
            (directory / "lessons" / f"step_{step:06d}.jsonl").write_text(as_lines(rows), encoding="utf-8")
    tables = leak_tricks.report(tmp_path, [0])
    page = (tmp_path / "leak_tricks.md").read_text(encoding="utf-8")
    by_words, blind = page.split("## leak_policy=blind")
    assert "| step left open: Take {} and add one. | 0.0% | 100.0% |" in by_words
    assert "| step left open: Take {} and add one. | 0.0% | 0.0% |" in blind
    assert ("step left open: Take {} and add one.", "0.0%", "100.0%", "n/a", "n/a") in tables["penalise"].rows
    assert tables["penalise"].rows[0][1:] == ("100.0%", "0.0%", "100.0%", "100.0%")
    assert tables["blind"].rows[-2:] == (
        ("taught right", "100.0%", "100.0%", "", ""),
        ("taught right, no trick", "n/a", "100.0%", "", ""),
    )
    assert (tmp_path / "leak_tricks.png").stat().st_size > 10_000


def test_what_is_not_trained_is_not_reported(tmp_path):
    with pytest.raises(SystemExit, match="not finished"):
        leak_tricks.report(tmp_path, [0])
