"""Tables over the seeds of a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from custom_data.world.texts.students import HELD_OUT_STUDENTS
from scripts.benchmarks.learning.records import seed_tables
from scripts.benchmarks.learning.records.seed_tables import (
    ALONE,
    GRPO,
    SFT,
    Run,
    by_run,
    goals,
    medians,
    read_run,
    record,
)
from scripts.benchmarks.tools.recorded_tables import PROVENANCE
from tests.support.evaluations import evaluated
from trainers.evaluation.measures.results import Results

ORIGIN = {"date": "2026-11-28", "commit": "61270ee", "machine": "two cores", "command": "python -m measured"}
TWO = "2 threads, AVX2"


def run(
    seed: int,
    accuracy: float,
    kept: float = 0.99,
    right: float = 4,
    arithmetic: str = "2 threads, AVX2",
    world: int = 7,
) -> Run:
    taught = {"accuracy": accuracy, "accuracy_gain": accuracy - 0.5, "non_degradation_rate": kept, "fix_rate": 0.9}
    lengths = {seed_tables.MEDIAN_RIGHT: right, seed_tables.MEDIAN_WRONG: 40}
    arms = {ALONE: {"accuracy": 0.5}, SFT: taught | {"leak_rate": 0.0} | lengths}
    arms[GRPO] = arms[SFT]
    students = {name: {ALONE: 0.2, GRPO: accuracy} for name in HELD_OUT_STUDENTS}
    return Run(seed, arithmetic, world, arms, students, oracle=1.0, seconds=600, origin=ORIGIN)


def test_a_median_has_its_range_and_one_run_has_none():
    rows = {row[0]: row[1:] for row in medians([run(0, 0.9), run(1, 0.99), run(2, 0.95)])["rows"]}
    assert rows["accuracy"][0] == "50.0% (50.0% to 50.0%)"
    assert rows["accuracy"][2] == "95.0% (90.0% to 99.0%)"
    assert rows["accuracy gain (points)"] == ["", *["+45.0 (+40.0 to +49.0)"] * 2]
    assert rows["accuracy of Saul"] == ["20.0% (20.0% to 20.0%)", "", "95.0% (90.0% to 99.0%)"]
    assert medians([run(0, 0.9)])["rows"][0][3] == "90.0%"
    assert medians([run(0, 0.9)])["columns"][0] == "one run"


def test_a_run_that_misses_a_goal_is_counted_and_is_the_worst():
    found = {row[0]: row[1:] for row in goals([run(0, 0.9), run(1, 0.78, kept=0.96), run(2, 0.9, right=21)])["rows"]}
    assert list(found.values()) == [
        ["2 of 3", "78.0%"],
        ["2 of 3", "+28.0"],
        ["2 of 3", "96.0%"],
        ["3 of 3", "0.00%"],
        ["2 of 3", "52%"],
        ["1 of 3", ""],
    ]


def test_every_run_has_a_row():
    table = by_run([run(3, 0.9), run(4, 0.95)])
    assert [row[::2][:2] for row in table["rows"]] == [["3", "50.0%"], ["4", "50.0%"]]
    assert [row[4] for row in table["rows"]] == ["90.0%", "95.0%"]
    assert {len(row) for row in table["rows"]} == {len(table["columns"])}


def test_a_run_is_read_from_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    alone, taught = evaluated(([True], [True]), ([False], [False]), length=7)
    results = Results(tuple(alone), {"GRPO": tuple(taught)})
    directory = tmp_path / "5"
    for name in ("evaluation", "world"):
        (directory / name).mkdir(parents=True)
    summary = {"arms": [arm.as_dict() for arm in results.arms()]}
    (directory / "evaluation/summary.json").write_text(json.dumps(summary))
    (directory / "seconds").write_text("612\n")
    students = {name: {"oracle": oracle} for name, oracle in zip(HELD_OUT_STUDENTS, (1, 1, 1, 0.8), strict=True)}
    (directory / "world/world.json").write_text(json.dumps({"version": 7, "students": students}))
    (directory / "origin.json").write_text(json.dumps(ORIGIN | {"arithmetic": "1 thread, AVX2"}))
    monkeypatch.setattr(seed_tables, "read_results", lambda _: results)
    found = read_run(directory)
    assert (found.seed, found.seconds, found.oracle) == (5, 612, pytest.approx(0.95))
    assert (found.arithmetic, found.world, found.origin) == ("1 thread, AVX2", 7, ORIGIN)
    assert found.arms["GRPO"]["accuracy"] == 0.5
    assert (found.arms["GRPO"]["median_length_right"], found.arms["GRPO"]["median_length_wrong"]) == (7, 7)


def test_what_is_recorded_says_where_it_is_from(tmp_path: Path):
    record([run(0, 0.9)], tmp_path)
    for name in ("quickstart", "quickstart-runs", "quickstart-goals"):
        data = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
        assert data.keys() >= {*PROVENANCE, "columns", "rows"}


def test_runs_are_added_to_those_that_are_recorded(tmp_path: Path):
    record([run(1, 0.8), run(0, 0.7)], tmp_path)
    record([run(1, 0.9), run(0, 0.6, arithmetic="1 thread, AVX512")], tmp_path)
    data = json.loads((tmp_path / "quickstart-runs.json").read_text(encoding="utf-8"))
    found = [(each["seed"], each["arithmetic"], each["arms"][GRPO]["accuracy"]) for each in data["runs"]]
    assert found == [(0, "1 thread, AVX512", 0.6), (0, "2 threads, AVX2", 0.7), (1, "2 threads, AVX2", 0.9)]
    medians_of_all = json.loads((tmp_path / "quickstart.json").read_text(encoding="utf-8"))
    assert medians_of_all["rows"][0][3] == "70.0% (60.0% to 90.0%)"


def test_runs_of_another_world_are_dropped(tmp_path: Path):
    record([run(1, 0.8, world=6), run(2, 0.8, world=6)], tmp_path)
    record([run(1, 0.9)], tmp_path)
    data = json.loads((tmp_path / "quickstart-runs.json").read_text(encoding="utf-8"))
    assert [(each["seed"], each["world"]) for each in data["runs"]] == [(1, 7)]
