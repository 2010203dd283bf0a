"""Tables of one run of the quickstart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.benchmarks.learning.records import run_tables
from scripts.benchmarks.learning.records.run_tables import (
    median_run,
    of_ceilings,
    of_claims,
    of_students,
    of_world,
    record_median,
    record_run,
)
from scripts.benchmarks.learning.records.seed_tables import GRPO, Run

ORIGIN = {"date": "2026-11-28", "commit": "61270ee", "machine": "two cores", "command": "python -m measured"}
ESTIMATE = {"mean": 0.5, "low": 0.25, "high": 0.75, "n": 9}
MEASURES = (
    *("accuracy", "accuracy_gain", "maximum_improvement", "completion_rate", "solution_tokens", "generation_time"),
    "non_degradation_rate",
)
FIGURES = dict.fromkeys(run_tables.FIGURES, 0.4) | {"oracle": 1.0}
CEILINGS = {"alone": 1 / 3, "best_lecture": 0.5, "oracle": 1.0, "mutual_information_bits": 0.514}


def run(accuracy: float) -> Run:
    return Run(3, "1 thread", 7, {GRPO: {"accuracy": accuracy}}, {}, 1.0, 600, ORIGIN)


def test_the_median_of_an_even_number_is_the_lower():
    runs = [run(accuracy) for accuracy in (0.97, 0.8, 0.95, 0.99)]
    assert median_run(runs) == runs[2]
    assert median_run(runs[:3]) == runs[2]
    assert median_run(runs[:1]) == runs[0]


def test_the_tables_of_one_run_are_the_median_s_or_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Of 80, 95 and 97% the one of 95 is the median, whose directory is given the first time only."""
    monkeypatch.setattr(run_tables, "read_run", lambda directory: run(int(directory.name) / 100))
    written: list[str] = []
    monkeypatch.setattr(run_tables, "record_run", lambda directory, data: written.append(directory.name))
    runs = [run(accuracy) for accuracy in (0.97, 0.8, 0.95)]
    record_median(runs, [tmp_path / "97", tmp_path / "95"], tmp_path)
    assert written == ["95"]
    record_median(runs, [tmp_path / "97"], tmp_path)
    assert written == ["95"]
    assert "the median of 3 runs is that of seed 3, 1 thread, which is not here" in caplog.text


def test_students_are_columns_and_teachers_rows():
    each = {"arms": [{"name": "student alone", "accuracy": ESTIMATE}, {"name": "GRPO", "accuracy": ESTIMATE}]}
    found = of_students({"Saul": each, "Thea": each})
    assert found["columns"] == ["", "Saul", "Thea"]
    assert found["rows"] == [[name, *["50.0% [25.0%, 75.0%]"] * 2] for name in ("student alone", "GRPO")]


def test_claims_stand_beside_what_was_measured():
    more = ESTIMATE | {"mean": 0.75, "low": 0.7, "high": 0.8}
    arms = {"student alone": dict.fromkeys(MEASURES, ESTIMATE), "GRPO": dict.fromkeys(MEASURES, more)}
    found = {row[0]: row[2] for row in of_claims(arms)["rows"]}
    assert found["accuracy gain on average (points)"] == "+75.0 [+70.0, +80.0]"
    assert found["completion rate"] == "50.0% → 75.0% [70.0%, 80.0%]"
    assert found["generation time"] == "0.50 s → 0.75 [0.70, 0.80] s, probe and teacher included"


def test_a_world_tells_who_is_held_out_and_what_can_be_reached():
    found = of_world({"Mara": FIGURES, "Saul": FIGURES})
    assert [row[0] for row in found["rows"]] == ["Mara", "Saul (held out)"]
    assert found["rows"][0][1:3] == ["40%", "100%"]
    assert {len(row) for row in found["rows"]} == {len(found["columns"])}
    ceilings = of_ceilings({"students": CEILINGS, "heldout_students": CEILINGS})
    assert ceilings["columns"] == ["", "students", "held-out students"]
    assert [row[1] for row in ceilings["rows"]] == ["33.3%", "50.0%", "100.0%", "0.51"]


def test_what_is_recorded_is_of_the_run_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_tables, "read_run", lambda _: run(0.97))
    directory = tmp_path / "3"
    for name in ("evaluation", "world"):
        (directory / name).mkdir(parents=True)
    measures = dict.fromkeys(MEASURES, ESTIMATE)
    arms = [{"name": name, **measures} for name in ("student alone", "GRPO")]
    summary = {"arms": arms, "by_student": {"Saul": {"arms": arms}}}
    (directory / "evaluation/summary.json").write_text(json.dumps(summary))
    (directory / "world/world.json").write_text(
        json.dumps({"students": {"Saul": FIGURES}, "ceilings": {"students": CEILINGS}})
    )
    record_run(directory, tmp_path)
    for name in ("run-evaluation", "run-claims", "run-students", "run-world", "run-ceilings"):
        data = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
        assert (data["seed"], data["commit"]) == (3, "61270ee")
    assert json.loads((tmp_path / "run-evaluation.json").read_text())["arms"] == arms
