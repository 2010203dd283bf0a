"""Metrics of training against values worked out by hand."""

import math
from dataclasses import replace

import pytest

from tests.support.lessons import group, lesson
from trainers.paths import ROOT
from trainers.teaching.metrics import teaching_metrics

GROUPS = [
    group(lesson([False], True, 30), lesson([False], False, 10, member=1, reward=0.0)),
    group(lesson([True], True, 4, row=1), lesson([True], False, 8, member=1, row=1, reward=0.0)),
    group(
        lesson([True], None, row=2, reward=None),
        lesson([True], None, member=1, row=2, teaching=None, reward=0.0),
    ),
]


def test_training_metrics():
    metrics = teaching_metrics(GROUPS)
    assert metrics["baseline_accuracy"] == pytest.approx(3 / 5)
    assert metrics["taught_accuracy"] == pytest.approx(2 / 5)
    assert metrics["fix_rate"] == pytest.approx(1 / 2)
    assert metrics["degradation_rate"] == pytest.approx(2 / 5)
    assert metrics["improvement_rate"] == pytest.approx(1 / 5)
    assert metrics["format_failure_rate"] == pytest.approx(1 / 6)
    assert metrics["unscorable_rate"] == pytest.approx(1 / 6)
    assert metrics["teaching_length_mean/baseline_wrong"] == pytest.approx(20)
    assert metrics["teaching_length_mean/baseline_right"] == pytest.approx(6)
    assert metrics["dropped_groups"] == 0


def test_lessons_that_forge_turns_are_counted_among_those_with_a_sample():
    forged = replace(lesson([False], False, member=1, teaching=None, reward=0.0), forged=True)
    failed = replace(lesson([False], None, member=2, reward=None), sample=None)
    metrics = teaching_metrics([group(lesson([False], True), forged, failed)])
    assert (metrics["forged_turn_rate"], metrics["format_failure_rate"]) == (0.5, 0.5)


def test_lengths_are_parted_by_most_of_the_scorable_baselines():
    groups = [
        group(lesson([None, True], True, 4)),
        group(lesson([False, True, True], True, 6, row=1)),
        group(lesson([True, False, False], True, 40, row=2)),
    ]
    metrics = teaching_metrics(groups)
    assert metrics["teaching_length_mean/baseline_right"] == pytest.approx(5)
    assert metrics["teaching_length_mean/baseline_wrong"] == pytest.approx(40)


def test_the_guide_names_every_metric():
    page = (ROOT / "docs/guides/rl-training.md").read_text(encoding="utf-8")
    for name in teaching_metrics(GROUPS):
        assert f"`{name}`" in page or f"`…/{name.rpartition('/')[2]}`" in page, name


def test_what_cannot_be_said_is_left_out():
    metrics = teaching_metrics([group(lesson([True], True), lesson([True], True, member=1))])
    assert "fix_rate" not in metrics
    assert all(math.isfinite(value) for value in metrics.values())


def test_prompts_that_turned_out_too_long_are_counted():
    long = [replace(lesson([None], None, reward=None, member=m), failure="taught_context") for m in range(2)]
    lost = replace(lesson([None], None, reward=None, member=2), failure="verdict_timeout")
    metrics = teaching_metrics([group(*long, lost, lesson([True], True, member=3))])
    assert metrics["overlong_rate"] == pytest.approx(0.5)
