"""Tables over the seeds of a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from custom_data.world.texts.students import HELD_OUT_STUDENTS
from scripts.benchmarks.learning import seed_tables
from scripts.benchmarks.learning.seed_tables import ALONE, GRPO, SFT, Seed, by_seed, goals, medians, read_seed, record
from scripts.benchmarks.tools.recorded_tables import PROVENANCE
from tests.support.evaluations import evaluated
from trainers.evaluation.measures.results import Results


def seed(number: int, accuracy: float, kept: float = 0.99, right: float = 4) -> Seed:
    taught = {"accuracy": accuracy, "accuracy_gain": accuracy - 0.5, "non_degradation_rate": kept, "fix_rate": 0.9}
    lengths = {seed_tables.MEDIAN_RIGHT: right, seed_tables.MEDIAN_WRONG: 40}
    arms = {ALONE: {"accuracy": 0.5}, SFT: taught | lengths, GRPO: taught | {"leak_rate": 0.0} | lengths}
    students = {name: {ALONE: 0.2, GRPO: accuracy} for name in HELD_OUT_STUDENTS}
    return Seed(number, arms, students, oracle=1.0, seconds=600)


def test_a_median_has_its_range_and_one_seed_has_none():
    rows = {row[0]: row[1:] for row in medians([seed(0, 0.9), seed(1, 0.99), seed(2, 0.95)])["rows"]}
    assert rows["accuracy"][0] == "50.0% (50.0% to 50.0%)"
    assert rows["accuracy"][2] == "95.0% (90.0% to 99.0%)"
    assert rows["accuracy gain (points)"] == ["", *["+45.0 (+40.0 to +49.0)"] * 2]
    assert rows["accuracy of Saul"] == ["20.0% (20.0% to 20.0%)", "", "95.0% (90.0% to 99.0%)"]
    assert medians([seed(0, 0.9)])["rows"][0][3] == "90.0%"
    assert medians([seed(0, 0.9)])["columns"][0] == "one seed"


def test_a_seed_that_misses_a_goal_is_counted_and_is_the_worst():
    found = {row[0]: row[1:] for row in goals([seed(0, 0.9), seed(1, 0.78, kept=0.96), seed(2, 0.9, right=21)])["rows"]}
    assert list(found.values()) == [
        ["2 of 3", "78.0%"],
        ["2 of 3", "+28.0"],
        ["2 of 3", "96.0%"],
        ["3 of 3", "0.00%"],
        ["2 of 3", "52%"],
    ]


def test_every_seed_has_a_row():
    table = by_seed([seed(3, 0.9), seed(4, 0.95)])
    assert [row[:4] for row in table["rows"]] == [["3", "50.0%", "90.0%", "90.0%"], ["4", "50.0%", "95.0%", "95.0%"]]
    assert {len(row) for row in table["rows"]} == {len(table["columns"])}


def test_a_seed_is_read_from_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    alone, taught = evaluated(([True], [True]), ([False], [False]), length=7)
    results = Results(tuple(alone), {"GRPO": tuple(taught)})
    directory = tmp_path / "5"
    for name in ("evaluation", "world"):
        (directory / name).mkdir(parents=True)
    summary = {"arms": [arm.as_dict() for arm in results.arms()]}
    (directory / "evaluation/summary.json").write_text(json.dumps(summary))
    (directory / "seconds").write_text("612\n")
    students = {name: {"oracle": oracle} for name, oracle in zip(HELD_OUT_STUDENTS, (1, 1, 1, 0.8), strict=True)}
    (directory / "world/world.json").write_text(json.dumps({"students": students}))
    monkeypatch.setattr(seed_tables, "read_results", lambda _: results)
    found = read_seed(directory)
    assert (found.number, found.seconds, found.oracle) == (5, 612, pytest.approx(0.95))
    assert found.arms["GRPO"]["accuracy"] == 0.5
    assert (found.arms["GRPO"]["median_length_right"], found.arms["GRPO"]["median_length_wrong"]) == (7, 7)


def test_what_is_recorded_says_where_it_is_from(tmp_path: Path):
    record([seed(0, 0.9)], tmp_path)
    for name in ("quickstart", "quickstart-seeds", "quickstart-goals"):
        data = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
        assert data.keys() >= {*PROVENANCE, "columns", "rows"}
