"""An evaluation's numbers are those that one computes by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.support.evaluations import evaluated
from tests.support.lessons import group, lesson
from trainers.evaluation.measures.breakdowns import gain_breakdowns, intervals
from trainers.evaluation.measures.quantities import alone_measures, taught_measures
from trainers.evaluation.measures.solved_questions import Effort, Taught
from trainers.evaluation.measures.summary import question_gains, student_alone, taught_arm
from trainers.evaluation.reports.results_table import breakdown_tables, results_table

PRICES = {"prompt": 1.0, "completion": 2.0}


def test_rates_by_the_definitions():
    # Three questions, two lessons each: fixed once of two, kept, harmed once of two.
    alone, taught = evaluated(
        ([False, False], [True, False]), ([True, True], [True, True]), ([True, True], [True, False])
    )
    found = taught_arm("T", alone, taught).estimates
    means = {name: estimate.mean for name, estimate in found.items()}
    assert student_alone(alone).estimates["accuracy"].mean == pytest.approx(2 / 3)
    assert means["accuracy"] == pytest.approx((0.5 + 1 + 0.5) / 3)
    assert means["accuracy_gain"] == pytest.approx((0.5 + 0 - 0.5) / 3)
    assert means["non_degradation_rate"] == pytest.approx(1 - 1 / 6)
    assert means["improvement_rate"] == pytest.approx(1 / 6)
    assert means["fix_rate"] == pytest.approx(1 / 2)
    assert found["fix_rate"].n == 1
    assert means["guidance_tokens"] == 4 + 3
    assert means["solution_tokens"] == 20


def test_a_lesson_is_compared_with_the_mean_of_its_baselines():
    alone, taught = evaluated(([True, False, False, False], [True]))
    assert taught_arm("T", alone, taught).estimates["accuracy_gain"].mean == pytest.approx(0.75)
    assert taught_arm("T", alone, taught).estimates["fix_rate"].mean == 1.0


def test_unscorable_and_truncated_ones_are_counted_and_left_out():
    alone, taught = evaluated(([False, None], [True, None]), ([None, None], [True, True]))
    arm = taught_arm("T", alone, taught)
    assert (arm.counts["n"], arm.counts["unscorable"]) == (1, 3)
    assert (arm.estimates["accuracy"].mean, arm.estimates["accuracy"].n) == (1.0, 1)
    assert student_alone(alone).counts["unscorable"] == 3


def test_a_malformed_teaching_has_taught_wrong():
    alone, taught = evaluated(([True], [True, True]))
    malformed = replace(taught[0].group.lessons[1], teaching=None, taught=None)
    taught[0] = replace(taught[0], group=replace(taught[0].group, lessons=(taught[0].group.lessons[0], malformed)))
    means = {name: estimate.mean for name, estimate in taught_arm("T", alone, taught).estimates.items()}
    assert (means["accuracy"], means["non_degradation_rate"], means["format_failure_rate"]) == (0.5, 0.5, 0.5)
    assert means["completion_rate"] == 1.0


def test_every_interval_holds_its_mean():
    generator = np.random.default_rng(3)
    verdicts = [([bool(v) for v in generator.integers(0, 2, 4)], [bool(generator.integers(0, 2))]) for _ in range(30)]
    for estimate in taught_arm("T", *evaluated(*verdicts)).estimates.values():
        assert estimate.low - 1e-9 <= estimate.mean <= estimate.high + 1e-9


def test_learning_efficiency_is_points_per_thousand_guidance_tokens():
    alone, taught = evaluated(([False], [True]), ([True], [True]))
    estimate = taught_arm("T", alone, taught).estimates["learning_efficiency"]
    assert estimate.mean == pytest.approx(50 / 7 * 1000)
    assert estimate.low == pytest.approx(0)
    assert estimate.high == pytest.approx(100 / 7 * 1000)


def test_time_and_cost_of_one_lesson():
    alone, taught = evaluated(([False, False], [True, True]))
    of_student, of_lesson = alone_measures(alone, PRICES), taught_measures(alone, taught, PRICES)
    assert of_student["generation_time"].estimate().mean == 2.0
    assert of_lesson["generation_time"].estimate().mean == 1.0 + 2.0
    assert of_student["cost"].estimate().mean == pytest.approx((1000 * 1 + 500 * 2) / 2 / 1e6)
    # A whole probe, and half of what both lessons of the question took.
    assert of_lesson["cost"].estimate().mean == pytest.approx((100 + 2 * 10 + (1000 + 2 * 500) / 2) / 1e6)
    assert "cost" not in alone_measures(alone)


def priced(alone, taught, **prices) -> dict[str, float]:
    measures = taught_measures(alone, taught, **prices)
    return {name: each.estimate().mean * 1e6 for name, each in measures.items() if name.startswith("cost")}


def test_a_teacher_with_a_price_is_part_of_the_cost():
    alone, [item] = evaluated(([False], [True, True]))
    spent = replace(item.teaching, teacher_prompt_tokens=300, teacher_generated_tokens=50)
    taught, teacher = [replace(item, teaching=spent)], {"prompt": 10.0, "completion": 20.0}
    of_student, of_teacher = 100 + 2 * 10 + (1000 + 2 * 500) / 2, (10 * 300 + 20 * 50) / 2
    assert priced(alone, taught, prices=PRICES, teacher_prices=teacher) == pytest.approx(
        {"cost": of_student + of_teacher, "cost_student": of_student, "cost_teacher": of_teacher}
    )
    assert priced(alone, taught, teacher_prices=teacher) == pytest.approx(
        {"cost": of_teacher, "cost_teacher": of_teacher}
    )
    arm = taught_arm("T", alone, taught, PRICES, teacher_prices=teacher)
    rows = {row[0]: row[1:-1] for row in results_table([student_alone(alone, PRICES), arm], "Results").rows}
    assert [bool(cell) for cell in rows["cost of the teacher's API"]] == [False, True]


def test_a_teaching_that_is_malformed_has_been_paid():
    alone, [item] = evaluated(([False], [True, True]))
    spent = replace(item.teaching, teacher_prompt_tokens=300, teacher_generated_tokens=50)
    first, second = item.group.lessons
    malformed = group(first, replace(second, teaching=None, taught=None))
    found = priced(alone, [Taught(malformed, spent)], prices=PRICES, teacher_prices=PRICES)
    assert found["cost_teacher"] == pytest.approx((300 + 2 * 50) / 2)
    assert found["cost_student"] == pytest.approx(100 + 2 * 10 + (1000 + 2 * 500) / 2)


def test_a_cost_of_which_a_part_was_not_counted_is_not_known():
    alone, taught = evaluated(([False], [True, True]))
    measures = taught_measures(alone, taught, PRICES, PRICES)
    assert {name: measures[name].estimate().n for name in ("cost", "cost_student", "cost_teacher")} == {
        "cost": 0, "cost_student": 1, "cost_teacher": 0,
    }  # fmt: skip


def test_gain_by_what_the_student_solves_alone():
    _, taught = evaluated(
        ([False, False], [True]), ([False, True], [True]), ([True, True], [False]), ([False, False], [False])
    )
    gains = gain_breakdowns(taught)["baseline"]
    assert {part: (gain.mean, gain.n) for part, gain in gains.items()} == {
        "never": (0.5, 2), "sometimes": (0.5, 1), "always": (-1.0, 1),
    }  # fmt: skip
    assert gains["always"].low == -1.0
    assert gains["always"].high > 0.9


def test_gain_by_length_of_the_teaching_parts_lessons():
    short, long = lesson([False], False, 8), lesson([False], True, 20, member=1)
    gains = gain_breakdowns([Taught(group(short, long), Effort(1.0))])["teaching_length"]
    assert {part: gain.mean for part, gain in gains.items()} == {"1 to 8 tokens": 0.0, "17 to 32 tokens": 1.0}
    # One question: 97.5% of those not drawn may differ, by as much as a gain can.
    assert [(gain.low, gain.high) for gain in gains.values()] == [
        pytest.approx((-0.975, 0.975)), pytest.approx((1 - 0.975 * 2, 1)),
    ]  # fmt: skip


def test_levels_are_found_and_the_best_one_is_the_maximum_improvement():
    extra = {0: {"level": "easy"}, 1: {"level": "hard"}, 2: {"level": "hard"}, 3: {"level": None}}
    alone, taught = evaluated(([True], [True]), ([False], [True]), ([False], [True]), ([False], [False]), extra=extra)
    arm = taught_arm("T", alone, taught)
    assert (arm.best_level, arm.estimates["maximum_improvement"].mean) == ("hard", 1.0)
    assert list(arm.gains["level"]) == ["easy", "hard"]
    named = {row: {"level": "x", "topic": str(row)} for row in range(4)}
    alone, taught = evaluated(*[([False], [True])] * 4, extra=named)
    assert list(taught_arm("T", alone, taught, level_column="topic").gains["level"]) == ["0", "1", "2", "3"]
    assert "maximum_improvement" not in taught_arm("T", *evaluated(([True], [True]))).estimates


def test_numbers_with_many_values_become_quarters():
    extra = {row: {"difficulty": row / 100} for row in range(100)}
    alone, taught = evaluated(*[([False], [True])] * 100, extra=extra)
    levels = taught_arm("T", alone, taught).gains["level"]
    assert [estimate.n for estimate in levels.values()] == [25, 25, 25, 25]
    assert intervals(np.array([4.0] * 90 + [44.0] * 10)) == [(4.0, 4.0), (44.0, 44.0)]
    assert intervals(np.array([])) == []


def test_levels_stand_in_the_order_of_their_numbers():
    extra = {row: {"level": f"Level {row}"} for row in range(12)}
    _, taught = evaluated(*[([False], [True])] * 12, extra=extra)
    assert list(gain_breakdowns(taught)["level"]) == [f"Level {row}" for row in range(12)]
    numbers = {row: {"level": (-30, 2, 9, 1e7)[row % 4] + row / 1000} for row in range(60)}
    numbers[3] = {"level": float("nan")}
    _, taught = evaluated(*[([False], [True])] * 60, extra=numbers)
    parts = gain_breakdowns(taught)["level"]
    assert [part.split()[0] for part in parts] == ["-30", "2.001", "9.002", "1e+07"]
    assert sum(gain.n for gain in parts.values()) == 59


def test_a_question_solved_as_often_taught_as_alone_is_unchanged():
    third = ([True, False, False], [False, True, False])
    gains = question_gains(evaluated(third)[1])
    assert (gains["improved"], gains["unchanged"], gains["harmed"], gains["p50"]) == (0, 1, 0, 0)


def test_single_questions_are_a_distribution():
    _, taught = evaluated(([False], [True]), ([True], [True]), ([True], [True]), ([True], [False]))
    gains = question_gains(taught)
    assert (gains["improved"], gains["unchanged"], gains["harmed"], gains["p50"]) == (0.25, 0.5, 0.25, 0.0)


def test_tables_show_every_number_with_its_questions():
    alone, taught = evaluated(([False], [True]), ([True], [True]))
    arms = [student_alone(alone), taught_arm("T", alone, taught)]
    page = results_table(arms, "Results").markdown()
    assert "|  | student alone | T | questions |" in page
    assert "| accuracy | 50.0% [0.0%, 100.0%] | 100.0% [15.8%, 100.0%] | 2 |" in page
    assert "| fix rate (wrong students made right) |  | 100.0% [2.5%, 100.0%] | 1 |" in page
    assert [table.title for table in breakdown_tables(arms)] == [
        "Gain by what the student solves alone", "Gain by length of the teaching", "Gain of single questions",
    ]  # fmt: skip
    json.dumps([arm.as_dict() for arm in arms], allow_nan=False)


def test_nothing_scorable_is_not_an_error():
    alone, taught = evaluated(([None], [None]))
    dropped = [replace(item, group=replace(item.group, dropped="teacher_timeout")) for item in taught]
    arms = [student_alone(alone), taught_arm("T", alone, dropped)]
    assert not arms[1].estimates["accuracy"].known
    assert "n/a" in results_table(arms, "Results").markdown()
    assert not taught_arm("T", [], []).estimates["accuracy"].known
    breakdown_tables(arms)
