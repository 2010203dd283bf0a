"""Every metric of training, for the lessons of tests/support/worked_example.py, against values from paper."""

from dataclasses import replace

import pytest

from tests.support.worked_example import worked_groups
from trainers.teaching.lesson import Group
from trainers.teaching.metrics import agreement, means_by_student, teaching_means, teaching_metrics, tokens_by_stage
from trainers.teaching.reward import AdaptiveTeachingReward

REWARDS = {
    0: [1 + 100 / 120, 0, 0],
    1: [(0.5 * 1.8 + 1.8) / 2, 0, None],
    2: [0, 0.75, None],
    3: [5 / 6, 5 / 6, 5 / 6],
    4: [],
}

METRICS = {
    # 17 pairs of a scored lesson and a scorable baseline: 3 x 2 of row 0, 2 x 2 each of rows 1 and 2, 3 of row 3.
    "baseline_accuracy": 9 / 17,  # row 1: two, row 2: four, row 3: three
    "taught_accuracy": 11 / 17,  # row 0: two, row 1: four, row 2: two, row 3: three
    "accuracy_gain": 2 / 17,
    "improvement_rate": 4 / 17,  # row 0: two, row 1: two
    "fix_rate": 4 / 8,  # of the six of row 0 and two of row 1 that were wrong alone
    "degradation_rate": 2 / 17,  # row 2, member 0
    "teaching_length_mean/baseline_right": (25 + 4 + 100 + 100 + 3 * 50) / 7,
    "teaching_length_mean/baseline_wrong": (20 + 40) / 2,
    # 11 lessons have a sample: 3 + 3 + 2 + 3.
    "leak_rate": 1 / 11,
    "suspected_leak_rate": 2 / 11,
    "format_failure_rate": 1 / 11,
    "forged_turn_rate": 3 / 11,
    "truncated_rate/teaching": 1 / 11,
    # 12 lessons in all.
    "unscorable_rate": 2 / 12,
    "overlong_rate": 1 / 12,
    "dropped_groups": 1,
    "empty_approach_rate": 1 / 4,
    "truncated_rate/approach": 1 / 4,
    "approach_length": (5 + 7 + 3 + 1) / 4,
    "truncated_rate/baseline": 1 / 10,
    "solution_tokens/baseline": (10 + 12 + 9 + 11 + 7 + 7 + 6 + 8 + 3 + 3) / 10,
    "truncated_rate/taught": 1 / 9,
    "solution_tokens/taught": (8 + 16 + 10 + 6 + 20 + 5 + 3 * 4) / 9,
    # Ten teachings: 20, 40, 25, 4, 60, 100, 100, 50, 50, 50. Sum of squares 33,741; the deviation is the population's.
    "teaching_length_mean": 49.9,
    "teaching_length_std": (3374.1 - 49.9**2) ** 0.5,
    # 100 rewards per token of the scored lessons, 0 of them in the malformed one: 20 + 40 + 0 + 25 + 4 + 200 + 150.
    "token_efficiency": 100 * (11 / 6 + 1.35 + 0.75 + 3 * 5 / 6) / 439,
}

ANN = {
    "groups": 2,
    "baseline_accuracy": 2 / 10,
    "taught_accuracy": 6 / 10,
    "accuracy_gain": 4 / 10,
    "improvement_rate": 4 / 10,
    "fix_rate": 4 / 8,
    "degradation_rate": 0,
    "leak_rate": 1 / 6,
    "format_failure_rate": 1 / 6,
    "dropped_groups": 0,
    "teaching_length_mean": (20 + 40 + 25 + 4 + 60) / 5,
}
BOB = {
    "groups": 3,
    "baseline_accuracy": 1,
    "taught_accuracy": 5 / 7,
    "accuracy_gain": -2 / 7,
    "improvement_rate": 0,
    "degradation_rate": 2 / 7,
    "leak_rate": 0,
    "format_failure_rate": 0,
    "dropped_groups": 1,
    "teaching_length_mean": (100 + 100 + 50 + 50 + 50) / 5,
}


def rewarded() -> list[Group]:
    """The worked groups with the default reward."""
    reward = AdaptiveTeachingReward()
    return [
        replace(group, lessons=tuple(replace(lesson, reward=reward(lesson)) for lesson in group.lessons))
        for group in worked_groups()
    ]


def test_rewards():
    earned = {group.prepared.question.row: [lesson.reward for lesson in group.lessons] for group in rewarded()}
    assert earned == {row: pytest.approx(rewards) for row, rewards in REWARDS.items()}


def test_the_example_leaves_no_metric_out():
    assert set(METRICS) == set(teaching_metrics(rewarded()))


@pytest.mark.parametrize("name", METRICS)
def test_metric(name):
    assert teaching_metrics(rewarded())[name] == pytest.approx(METRICS[name])


@pytest.mark.parametrize(("student", "expected"), [("ann", ANN), ("bob", BOB)])
def test_metrics_of_a_student(student, expected):
    found = means_by_student(rewarded(), ("ann", "bob"))
    for name, value in expected.items():
        assert found[f"by_student/{student}/{name}"].value == pytest.approx(value), name


def test_what_has_no_wrong_baseline_fixes_none():
    assert "by_student/bob/fix_rate" not in means_by_student(rewarded(), ("ann", "bob"))


def test_groups_that_agree():
    """Of the four groups that count only row 3 earned the same throughout."""
    assert agreement(rewarded()).value == 1 / 4


def test_tokens_by_stage():
    assert tokens_by_stage(rewarded()) == {
        "baseline": 76,
        "approach": 16,
        "teaching": (30 + 50 + 64) + (33 + 12 + 70) + (110 + 108) + 3 * 58,
        "taught": 77,
    }


@pytest.mark.parametrize("order", [[4, 3, 2, 1, 0], [2, 0, 4, 1, 3]])
def test_the_order_of_groups_changes_nothing(order):
    groups = rewarded()
    assert teaching_metrics([groups[i] for i in order]) == pytest.approx(METRICS)


def test_twice_the_lessons_have_the_same_means():
    groups = rewarded()
    doubled = teaching_metrics([*groups, *groups])
    assert doubled == pytest.approx(METRICS | {"dropped_groups": 2})


def test_means_of_parts_make_the_mean_of_the_whole():
    """The sums and counts of Ann's groups and of Bob's add up to those of both, but for the deviation."""
    groups = rewarded()
    ann, bob, both = teaching_means(groups[:2]), teaching_means(groups[2:]), teaching_means(groups)
    for name in set(METRICS) - {"teaching_length_std", "dropped_groups"}:
        parts = [means[name] for means in (ann, bob) if name in means]
        assert sum(part.total for part in parts) == pytest.approx(both[name].total), name
        assert sum(part.count for part in parts) == pytest.approx(both[name].count), name


def test_an_excluded_lesson_counts_only_where_it_was_sampled():
    """Without its reward row 0's first lesson is in no pair: two fewer, 15; but its teaching is still a teaching."""
    groups = rewarded()
    first = groups[0]
    groups[0] = replace(first, lessons=(replace(first.lessons[0], reward=None), *first.lessons[1:]))
    found = teaching_metrics(groups)
    assert found["taught_accuracy"] == pytest.approx(9 / 15)
    assert found["fix_rate"] == pytest.approx(2 / 6)
    assert found["unscorable_rate"] == pytest.approx(3 / 12)
    assert found["teaching_length_mean"] == pytest.approx(49.9)
    assert found["token_efficiency"] == pytest.approx(100 * (1.35 + 0.75 + 2.5) / 419)
