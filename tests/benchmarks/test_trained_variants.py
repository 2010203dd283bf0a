"""Trained variants as they are recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from custom_data.world.texts.students import HELD_OUT_STUDENTS
from scripts.benchmarks.learning.records import seed_tables
from scripts.benchmarks.learning.records.trained_variants import TRAININGS, TrainedVariant, add_to_record, read_variant
from tests.support.evaluations import evaluated
from trainers.evaluation.measures.results import Results

ORIGIN = {"date": "2026-11-29", "commit": "7754cca", "machine": "two cores", "command": "python -m measured"}
TRAINED = TrainedVariant("no probe", 3, "2 threads, AVX2", 9, 0.5, 1.0, {"accuracy": 0.25}, ORIGIN)


def test_a_variant_is_read_from_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One of two is right alone, and both are taught; teachings of 7 tokens."""
    alone, taught = evaluated(([True], [True]), ([False], [True]), length=7)
    results = Results(tuple(alone), {"no probe": tuple(taught)})
    directory = tmp_path / "3"
    for name in ("evaluation", "world"):
        (directory / name).mkdir(parents=True)
    (directory / "origin.json").write_text(json.dumps(ORIGIN | {"arithmetic": "2 threads, AVX2"}))
    world = {"version": 9, "students": {name: {"oracle": 0.75} for name in HELD_OUT_STUDENTS}}
    (directory / "world/world.json").write_text(json.dumps(world))
    summary = {"arms": [arm.as_dict() for arm in results.arms()]}
    (directory / "evaluation/summary.json").write_text(json.dumps(summary))
    monkeypatch.setattr(seed_tables, "read_results", lambda where: results)
    found = read_variant("no probe", directory, directory / "evaluation")
    assert replace(found, measures={}) == replace(TRAINED, alone=0.5, oracle=0.75, measures={})
    assert found.measures["accuracy"] == 1
    assert found.measures["accuracy_gain"] == 0.5
    assert found.measures["median_length_right"] == found.measures["median_length_wrong"] == 7


def test_trainings_add_up_and_the_same_one_is_replaced(tmp_path: Path):
    add_to_record([TRAINED, replace(TRAINED, seed=4)], tmp_path)
    again = replace(TRAINED, measures={"accuracy": 0.75})
    found = add_to_record([again, replace(TRAINED, arithmetic="2 threads, AVX512")], tmp_path)
    assert [(each.seed, each.arithmetic, each.measures["accuracy"]) for each in found] == [
        (3, "2 threads, AVX2", 0.75),
        (3, "2 threads, AVX512", 0.25),
        (4, "2 threads, AVX2", 0.25),
    ]
    recorded = json.loads((tmp_path / f"{TRAININGS}.json").read_text())
    assert recorded["rows"][0] == ["no probe", "3", "2 threads, AVX2", "75.0%", "50.0%"]
    assert recorded["trainings"][0]["origin"] == ORIGIN


def test_those_of_an_older_world_are_dropped(tmp_path: Path):
    add_to_record([replace(TRAINED, world=8)], tmp_path)
    assert add_to_record([replace(TRAINED, seed=5)], tmp_path) == [replace(TRAINED, seed=5)]
