"""Every measure of an evaluation, for the lessons of tests/support/worked_example.py, against values from paper.

An evaluation takes the mean of a question's lessons first, and then the mean over questions, so that the figures differ
from those of training, which take every lesson alike. Rows 0 to 3 are taught, row 4 was dropped:

| per question | row 0 | row 1 | row 2 | row 3 |
|---|---|---|---|---|
| baselines right | 0 | 1/2 | 1 | 1 (of the one that is scorable) |
| taught right | 1, 0, 0 | 1, 1 | 0, 1 | 1, 1, 1 |
| accuracy, taught | 1/3 | 1 | 1/2 | 1 |
| gain | 1/3 | 1/2 | -1/2 | 0 |
"""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.evaluations import evaluated
from tests.support.worked_example import worked_groups
from trainers.evaluation.measures.quantities import Estimate, Measure, alone_measures, completed, taught_measures
from trainers.evaluation.measures.solved_questions import Alone, Effort, Taught
from trainers.evaluation.measures.summary import student_alone, taught_arm
from trainers.teaching.lesson import Solution
from trainers.teaching.verifiers.verdict import Grade

PRICES = {"prompt": 2.0, "completion": 10.0}
TEACHER_PRICES = {"prompt": 1.0, "completion": 4.0}

ALONE = {
    "accuracy": (0 + 1 / 2 + 1 + 1 + 0) / 5,
    "completion_rate": (1 / 2 + 1 + 1 + 1 + 1) / 5,
    "solution_tokens": (11 + 10 + 7 + 7 + 3) / 5,
    "generation_time": (1 + 2 + 3 + 4) / 4,  # row 4 took its time for nothing
    # Two baselines: 100 prompt tokens at 2 dollars and (22, 20, 14, 14, 6) generated ones at 10, per million.
    "cost": ((200 + 220) + (200 + 200) + 2 * (200 + 140) + (200 + 60)) / 5 / 2 / 1e6,
}

TAUGHT = {
    "accuracy": (1 / 3 + 1 + 1 / 2 + 1) / 4,
    "accuracy_gain": (1 / 3 + 1 / 2 - 1 / 2 + 0) / 4,
    "non_degradation_rate": (1 + 1 + 1 / 2 + 1) / 4,
    "improvement_rate": (1 / 3 + 1 / 2 + 0 + 0) / 4,
    "fix_rate": (1 + 1 / 2 + 1 / 2) / (3 + 1 / 2 + 1 / 2),  # weighted by how often the student was wrong
    "completion_rate": (1 / 2 + 1 + 1 + 1) / 4,
    "leak_rate": (0 + 1 / 3 + 0 + 0) / 4,
    "suspected_leak_rate": (0 + 1 / 3 + 1 / 2 + 0) / 4,
    "format_failure_rate": (1 / 3 + 0 + 0 + 0) / 4,
    "forged_turn_rate": (0 + 0 + 0 + 1) / 4,
    "solution_tokens": ((8 + 16) / 2 + (10 + 6) / 2 + (20 + 5) / 2 + 4) / 4,
    "guidance_tokens": ((5 + 144 / 3) + (7 + 115 / 3) + (3 + 218 / 2) + (1 + 58)) / 4,
    "teaching_length": (60 / 2 + 89 / 3 + 200 / 2 + 50) / 4,
    "teaching_length_baseline_right": (89 / 3 + 100 + 50) / 3,  # half of the baselines right counts as right
    "teaching_length_baseline_wrong": 30,
    # 100 points per unit of gain and 1000 tokens: the sum of gains over the sum of guidance tokens.
    "learning_efficiency": 1e5 * (1 / 3) / ((5 + 144 / 3) + (7 + 115 / 3) + (3 + 218 / 2) + (1 + 58)),
    "generation_time": ((0.5 + 2) + (0.5 + 3) + (0.5 + 4) + (0.5 + 5)) / 4,
    # A probe of 50 prompt tokens and 5, 7, 3, 1 generated ones; then the lessons' share of 300 and 24, 16, 25, 12.
    # Row 0 has three lessons, its malformed one included; rows 1 and 2 have two that were taught.
    "cost_student": (
        ((100 + 50) + (600 + 240) / 3)
        + ((100 + 70) + (600 + 160) / 2)
        + ((100 + 30) + (600 + 250) / 2)
        + ((100 + 10) + (600 + 120) / 3)
    )
    / 4
    / 1e6,
    # 400 prompt tokens at 1 dollar and 144, 115, 218, 174 generated ones at 4, shared by the lessons that were sampled.
    "cost_teacher": ((400 + 576) / 3 + (400 + 460) / 3 + (400 + 872) / 2 + (400 + 696) / 3) / 4 / 1e6,
}
TAUGHT["cost"] = TAUGHT["cost_student"] + TAUGHT["cost_teacher"]


def questions() -> tuple[list[Alone], list[Taught]]:
    """Return the worked groups with the tokens and seconds that their stages took."""
    alone, taught = [], []
    for row, group in enumerate(worked_groups()):
        prepared = group.prepared
        solved = sum(solution.tokens for solution in prepared.baselines)
        probed = prepared.approach.tokens if prepared.approach else 0
        again = sum(lesson.taught.tokens for lesson in group.lessons if lesson.taught)
        said = sum(lesson.sample.completion.tokens for lesson in group.lessons if lesson.sample)
        alone.append(Alone(prepared, Effort(row + 1.0, 100, solved), Effort(0.5, 50, probed)))
        taught.append(Taught(group, Effort(row + 2.0, 300, again, None, 400, said)))
    return alone, taught


def estimates(measures) -> dict[str, Estimate]:
    return {name: measure.estimate() for name, measure in measures.items()}


def test_the_example_leaves_no_measure_out():
    alone, taught = questions()
    assert set(alone_measures(alone, PRICES)) == {*ALONE, "cost_student"}
    assert set(taught_measures(alone, taught, PRICES, TEACHER_PRICES)) == set(TAUGHT)


@pytest.mark.parametrize("name", ALONE)
def test_measure_alone(name):
    assert estimates(alone_measures(questions()[0], PRICES))[name].mean == pytest.approx(ALONE[name])


@pytest.mark.parametrize("name", TAUGHT)
def test_measure_taught(name):
    measured = estimates(taught_measures(*questions(), PRICES, TEACHER_PRICES))
    assert measured[name].mean == pytest.approx(TAUGHT[name])


def test_what_is_left_out_is_counted_with_its_reason():
    alone, taught = questions()
    student, teacher = student_alone(alone), taught_arm("T", alone, taught)
    assert student.counts == {
        "questions": 5, "n": 9, "unscorable": 1, "truncated_solutions": 1, "failed_questions": 0,
    }  # fmt: skip
    assert student.failures == {"probe_timeout": 1}
    assert teacher.counts == {
        "questions": 5, "n": 10, "unscorable": 2, "truncated_solutions": 1, "truncated_approaches": 1,
        "truncated_teachings": 1, "dropped_groups": 1,
    }  # fmt: skip
    assert teacher.failures == {"taught_context": 1, "teacher_timeout": 1}


@pytest.mark.parametrize("name", [name for name in TAUGHT if name != "cost"])
def test_an_interval_holds_its_mean_and_stays_within_what_is_possible(name):
    found = estimates(taught_measures(*questions(), PRICES, TEACHER_PRICES))[name]
    assert found.low <= found.mean <= found.high
    if name.endswith("_rate") or name == "accuracy":
        assert 0 <= found.low <= found.high <= 1


def test_costs_are_of_the_models_that_have_prices():
    alone, taught = questions()
    student = estimates(taught_measures(alone, taught, PRICES))
    assert "cost_teacher" not in student
    assert student["cost"].mean == pytest.approx(TAUGHT["cost_student"])
    assert "cost" not in taught_measures(alone, taught)


@pytest.mark.parametrize(
    ("answered", "truncated", "expected"), [(True, False, True), (False, False, False), (True, True, False)]
)
def test_an_answer_that_is_missing_is_no_completion(answered, truncated, expected):
    assert completed(Solution("text", 5, truncated, False, answered=answered)) is expected


def test_a_difference_of_what_has_no_bounds_has_none():
    """Both questions differ by 2 tokens, which have no bounds between which others might lie; shares have."""
    one, two = (Measure(np.array(values), np.ones(2)) for values in ([5.0, 9.0], [3.0, 7.0]))
    assert one.difference(two) == Estimate(2.0, 2.0, 2.0, 2)
    shares = (Measure(np.array(values), np.ones(2), (0.0, 1.0)) for values in ([1.0, 1.0], [0.5, 0.5]))
    found = next(shares).difference(next(shares))
    assert found.mean == 0.5
    assert -1 <= found.low < 0.5 < found.high <= 1


def test_a_difference_of_gains_may_be_twice_as_large_as_a_gain():
    """Of two questions alike, 1 - √0.025 of those not drawn may differ: as far as -2 and 2."""
    one, two = (Measure(np.full(2, value), np.ones(2), (-1.0, 1.0)) for value in (0.5, 0.25))
    unseen = 1 - 0.025**0.5
    found = one.difference(two)
    assert (found.mean, found.low, found.high) == pytest.approx((0.25, 0.25 - unseen * 2.25, 0.25 + unseen * 1.75))


def test_scores_of_a_judge_are_means_alone_and_taught_and_their_gain():
    """Alone 0.2 and 0.6; taught 0.9 and 0.5, and 1 of one that a rule found right: 0.8 - 0.4 gained."""

    def graded(solution, score):
        return replace(solution, grade=Grade(score))

    alone, taught = evaluated(([False, True], [True, True, True]))
    baselines = tuple(map(graded, alone[0].prepared.baselines, (0.2, 0.6)))
    prepared = replace(alone[0].prepared, baselines=baselines)
    scores = (0.9, 0.5, None)
    lessons = tuple(
        replace(lesson, prepared=prepared, taught=lesson.taught if score is None else graded(lesson.taught, score))
        for lesson, score in zip(taught[0].group.lessons, scores, strict=True)
    )
    group = replace(taught[0].group, prepared=prepared, lessons=lessons)
    solved, helped = [replace(alone[0], prepared=prepared)], [replace(taught[0], group=group)]
    assert estimates(alone_measures(solved))["score"].mean == pytest.approx(0.4)
    found = estimates(taught_measures(solved, helped))
    assert (found["score"].mean, found["score_gain"].mean) == pytest.approx((0.8, 0.4))
    # One question: 97.5% of those not drawn may differ, a score by as much as there is, a gain as far as -1 and 1.
    assert (found["score"].low, found["score"].high) == pytest.approx((0.8 - 0.975 * 0.8, 0.8 + 0.975 * 0.2))
    assert (found["score_gain"].low, found["score_gain"].high) == pytest.approx((0.4 - 0.975 * 1.4, 0.4 + 0.975 * 0.6))
    assert "score" not in alone_measures(alone)
    assert "score" not in taught_measures(alone, taught)
