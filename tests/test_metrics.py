"""Metrics and summaries against values worked out by hand."""

import math

import pytest

from tests.lessons import group, lesson
from trainers.summary import markdown, student_alone, taught
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


def test_what_cannot_be_said_is_left_out():
    metrics = teaching_metrics([group(lesson([True], True), lesson([True], True, member=1))])
    assert "fix_rate" not in metrics
    assert all(math.isfinite(value) for value in metrics.values())


def test_evaluation_estimates():
    arm = taught("teacher", GROUPS)
    means = {name: estimate.mean for name, estimate in arm.estimates.items()}
    # Each question counts once: taught 1/2, 1/2, 0 and alone 0, 1, 1.
    assert means["accuracy"] == pytest.approx(1 / 3)
    assert means["accuracy_gain"] == pytest.approx(1 / 3 - 2 / 3)
    assert means["non_degradation_rate"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert means["fix_rate"] == pytest.approx(1 / 2)
    assert means["guidance_tokens"] == pytest.approx(4 + 3)
    assert arm.counts["n"] == 5
    assert arm.counts["unscorable"] == 1


def test_intervals_hold_the_mean():
    for estimate in taught("teacher", GROUPS).estimates.values():
        if estimate.known:
            assert estimate.low <= estimate.mean + 1e-9
            assert estimate.high >= estimate.mean - 1e-9


def test_student_alone_counts_its_baselines():
    arm = student_alone([item.prepared for item in GROUPS])
    assert arm.estimates["accuracy"].mean == pytest.approx(2 / 3)
    assert arm.counts == {"questions": 3, "n": 3, "unscorable": 0, "truncated": 0, "failed_questions": 0}


def test_the_table_has_a_column_per_arm():
    table = markdown([student_alone([item.prepared for item in GROUPS]), taught("grpo", GROUPS)], "# Title")
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert "| student alone | grpo |" in rows[0]
