"""Each quantity of an evaluation: what is in it, what bounds it, and what a difference of two of them is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.support.evaluations import evaluated
from tests.support.lessons import lesson, solution
from trainers.confidence_intervals import (
    DIFFERENCE,
    SHARE,
    Bounds,
    bootstrap_mean_ratio,
    bootstrap_mean_ratio_difference,
    bootstrap_ratio,
    bootstrap_ratio_difference,
)
from trainers.evaluation.measures.quantities import (
    Measure,
    alone_measures,
    baseline_accuracy,
    compared,
    completed,
    guidance_tokens,
    mean_of,
    over_students,
    table,
    taught_measures,
    teaching_length,
)
from trainers.evaluation.measures.solved_questions import Taught
from trainers.teaching.lesson import BlindCheck, Lesson
from trainers.teaching.verifiers.verdict import Grade

NAN = math.nan
PRICES = {"prompt": 2.0, "completion": 10.0}
SHARES = (
    "accuracy",
    "non_degradation_rate",
    "improvement_rate",
    "fix_rate",
    "completion_rate",
    "leak_rate",
    "suspected_leak_rate",
    "blind_leak_rate",
    "format_failure_rate",
    "forged_turn_rate",
    "score",
)
DIFFERENCES = ("accuracy_gain", "score_gain")


def with_lessons(taught: list[Taught], *changed: Lesson) -> list[Taught]:
    """The same questions, the first with other lessons."""
    first = taught[0]
    return [replace(first, group=replace(first.group, lessons=changed)), *taught[1:]]


def graded() -> tuple[list, list[Taught]]:
    """Two questions, of which judges gave some solutions a score, and a blind check was made of three lessons."""
    alone, taught = evaluated(([False, True], [True, False, True]), ([True, None], [True, None]))
    first, second, third = taught[0].group.lessons
    checks = (BlindCheck(1, 1, 0, 1, True), BlindCheck(0, 1, 0, 1, False), BlindCheck(0, 0, 0, 0, None))
    scores = (Grade(0.75), None, Grade(0.25))
    changed = [
        replace(each, blind=check, taught=replace(each.taught, grade=grade))
        for each, check, grade in zip((first, second, third), checks, scores, strict=True)
        if each.taught is not None
    ]
    return alone, with_lessons(taught, *changed)


def test_shares_and_differences_of_shares_are_bounded_and_nothing_else_is() -> None:
    alone, taught = graded()
    found = taught_measures(alone, taught, PRICES, PRICES)
    bounds: dict[str, Bounds | None] = {name: measure.bounds for name, measure in found.items()}
    assert bounds == dict.fromkeys(found) | dict.fromkeys(SHARES, SHARE) | dict.fromkeys(DIFFERENCES, DIFFERENCE)
    baselines = tuple(replace(each, grade=Grade(0.5)) for each in alone[0].prepared.baselines)
    scored = [replace(alone[0], prepared=replace(alone[0].prepared, baselines=baselines)), alone[1]]
    untaught = {name: measure.bounds for name, measure in alone_measures(scored, PRICES).items()}
    shares = dict.fromkeys(("accuracy", "score", "completion_rate"), SHARE)
    assert untaught == dict.fromkeys(("solution_tokens", "generation_time", "cost", "cost_student")) | shares


def test_blind_leaks_are_a_share_of_the_checks_that_say_something() -> None:
    alone, taught = graded()
    assert taught_measures(alone, taught)["blind_leak_rate"].estimate().mean == 0.5
    assert "blind_leak_rate" not in taught_measures(*evaluated(([False], [True])))
    first = taught[0].group.lessons[2]
    assert "blind_leak_rate" not in taught_measures(alone, with_lessons(taught, first))


def test_scores_are_those_of_judges_or_of_verdicts_beside_them() -> None:
    alone, taught = graded()
    found = taught_measures(alone, taught)
    # Taught 0.75, 0 and 0.25 where the student alone has a half; 1 where it has 1. What has no score is left out.
    assert found["score"].above == pytest.approx([1 / 3, 1.0])
    assert found["score_gain"].above == pytest.approx([-1 / 6, 0.0])
    plain = taught_measures(*evaluated(([False], [True])))
    assert not {"score", "score_gain"} & plain.keys()
    assert "score" not in alone_measures(alone)
    baselines = (replace(solution(True), grade=Grade(0.25)), solution(False))
    scored = replace(alone[0], prepared=replace(alone[0].prepared, baselines=baselines))
    assert alone_measures([scored])["score"].estimate().mean == 0.25


ONE = mean_of(np.array([[1.0, 0.0], [0.0, NAN], [1.0, 1.0], [NAN, NAN]]), SHARE)
OTHER = mean_of(np.array([0.0, 0.0, 1.0, 1.0]), SHARE)
POOL = over_students([ONE, OTHER])


def test_a_mean_counts_each_question_once() -> None:
    assert ONE.above == pytest.approx([0.5, 0.0, 1.0, NAN], nan_ok=True)
    assert (list(ONE.below), ONE.bounds) == ([1.0] * 4, SHARE)
    assert ONE.estimate() == bootstrap_ratio(ONE.above, ONE.below, bounds=SHARE)


def test_a_mean_over_students_has_a_column_for_each() -> None:
    weighed = Measure(np.array([1.0, 2.0]), np.array([4.0, 8.0]), DIFFERENCE)
    found = over_students([weighed, Measure(np.array([3.0, 5.0]), np.array([6.0, 7.0]))])
    assert found.above.tolist() == [[1.0, 3.0], [2.0, 5.0]]
    assert found.below.tolist() == [[4.0, 6.0], [8.0, 7.0]]
    assert found.bounds == DIFFERENCE
    assert POOL.estimate() == bootstrap_mean_ratio(POOL.above, POOL.below, bounds=SHARE)


@pytest.mark.parametrize(
    ("first", "second", "over"),
    [
        (ONE, OTHER, bootstrap_ratio_difference),
        (POOL, over_students([OTHER, OTHER]), bootstrap_mean_ratio_difference),
        (ONE, POOL, bootstrap_mean_ratio_difference),
        (POOL, OTHER, bootstrap_mean_ratio_difference),
    ],
)
def test_a_difference_is_paired_by_question(first: Measure, second: Measure, over) -> None:
    expected = over((first.above, first.below), (second.above, second.below), bounds=(-1.0, 1.0))
    assert first.difference(second) == expected


@pytest.mark.parametrize(
    ("bounds", "reach"), [(SHARE, (-1.0, 1.0)), (DIFFERENCE, (-2.0, 2.0)), ((0.0, 4.0), (-4.0, 4.0)), (None, None)]
)
def test_a_difference_reaches_as_far_as_either_of_its_parts_may_go(bounds: Bounds | None, reach: Bounds | None) -> None:
    one, other = (Measure(np.full(20, value), np.ones(20), bounds) for value in (0.5, 0.25))
    found = one.difference(other)
    unseen = 1 - 0.025 ** (1 / 20)
    low, high = reach or (0.25, 0.25)
    expected = (0.25 - unseen * (0.25 - low), 0.25, 0.25 + unseen * (high - 0.25))
    assert (found.low, found.mean, found.high) == pytest.approx(expected)


def test_some_questions_of_a_measure_are_the_others_left_out() -> None:
    found = Measure(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]), SHARE).where(np.array([True, False, True]))
    assert found.above == pytest.approx([1.0, NAN, 3.0], nan_ok=True)
    assert (found.below.tolist(), found.bounds) == ([4.0, 5.0, 6.0], SHARE)


def test_a_table_is_as_wide_as_its_longest_row_and_has_a_column_at_least() -> None:
    found = table([[1, None], [], [True, 2.5, 3]])
    assert found == pytest.approx(np.array([[1, NAN, NAN], [NAN, NAN, NAN], [1, 2.5, 3]]), nan_ok=True)
    assert found.dtype == np.float64
    assert (table([]).shape, table([[], []]).shape) == ((0, 1), (2, 1))


def test_where_either_side_has_no_verdict_neither_counts() -> None:
    base, correct = compared(evaluated(([None], [True, False]), ([True, False, None], [None, True]))[1])
    assert base == pytest.approx(np.array([[NAN, NAN], [NAN, 0.5]]), nan_ok=True)
    assert correct == pytest.approx(np.array([[NAN, NAN], [NAN, 1.0]]), nan_ok=True)


def test_what_is_read_of_one_lesson() -> None:
    made = lesson([True, None, False, False], True, length=7)
    assert baseline_accuracy(made) == pytest.approx(1 / 3)
    assert baseline_accuracy(lesson([None], True)) is None
    assert teaching_length(made) == 7
    assert teaching_length(lesson([True], True, teaching=None)) is None
    # The approach is four tokens, the completion three.
    assert guidance_tokens(made) == 7
    assert guidance_tokens(replace(made, sample=None)) is None
    assert guidance_tokens(replace(made, prepared=replace(made.prepared, approach=None))) is None
    whole = solution(True)
    assert completed(whole)
    assert not completed(replace(whole, truncated=True))
    assert not completed(replace(whole, answered=False))


def test_lengths_are_parted_by_what_most_baselines_are() -> None:
    alone, taught = evaluated(
        ([True, False], [True]), ([False, False, True], [True]), ([True], [True]), ([None], [True])
    )
    lengths = (3, 5, 8, 13)
    taught = [
        with_lessons([item], replace(item.group.lessons[0], teaching_length=length))[0]
        for item, length in zip(taught, lengths, strict=True)
    ]
    found = taught_measures(alone, taught)
    right, wrong = (found[f"teaching_length_baseline_{side}"].above for side in ("right", "wrong"))
    assert right == pytest.approx([3, NAN, 8, NAN], nan_ok=True)
    assert wrong == pytest.approx([NAN, 5, NAN, NAN], nan_ok=True)
    assert found["teaching_length"].above == pytest.approx([3, 5, 8, 13])


def test_lessons_that_were_never_sampled_say_nothing_of_the_teacher() -> None:
    alone, taught = evaluated(([False], [True, True]))
    lost = replace(lesson([False], None, member=2), sample=None, teaching=None, leaked=True, forged=True)
    found = taught_measures(alone, with_lessons(taught, *taught[0].group.lessons, lost))
    names = ("leak_rate", "forged_turn_rate", "format_failure_rate", "suspected_leak_rate")
    assert [found[name].estimate().mean for name in names] == [0.0] * 4


def test_costs_are_of_the_models_that_have_a_price() -> None:
    """One question: a probe of (100, 10) tokens, two lessons of (1000, 500) together, and the teacher's (300, 40)."""
    alone, taught = evaluated(([False, False], [True, True]))
    counted = [replace(taught[0], teaching=replace(
        taught[0].teaching, teacher_prompt_tokens=300, teacher_generated_tokens=40
    ))]  # fmt: skip
    student = ((100 * 2 + 10 * 10) + (1000 * 2 + 500 * 10) / 2) / 1e6
    teacher = (300 * 1 + 40 * 4) / 2 / 1e6
    cheap = {"prompt": 1.0, "completion": 4.0}

    def costs(items: list[Taught], *prices: dict[str, float] | None) -> dict[str, float]:
        found = taught_measures(alone, items, *prices)
        return {name: measure.above[0] for name, measure in found.items() if name.startswith("cost")}

    assert costs(counted, PRICES, cheap) == pytest.approx(
        {"cost": student + teacher, "cost_student": student, "cost_teacher": teacher}
    )
    assert costs(counted, PRICES) == pytest.approx({"cost": student, "cost_student": student})
    assert costs(counted, None, cheap) == pytest.approx({"cost": teacher, "cost_teacher": teacher})
    assert costs(counted) == {}
    unknown = costs(taught, PRICES, cheap)
    assert unknown == pytest.approx({"cost": NAN, "cost_student": student, "cost_teacher": NAN}, nan_ok=True)
    half = [replace(counted[0], teaching=replace(counted[0].teaching, teacher_generated_tokens=None))]
    assert math.isnan(costs(half, None, cheap)["cost_teacher"])
    # Two baselines together took (1000, 500).
    found = alone_measures(alone, PRICES)
    assert found["cost"].above == found["cost_student"].above == pytest.approx([(1000 * 2 + 500 * 10) / 2 / 1e6])


def test_time_is_that_of_what_did_not_fail() -> None:
    alone, taught = evaluated(([False], [True]), ([False], [True]), ([False], [True]))
    failed = replace(alone[1], prepared=replace(alone[1].prepared, failure="probe_timeout"))
    dropped = replace(taught[2], group=replace(taught[2].group, dropped="teacher_timeout"))
    found = taught_measures([alone[0], failed, alone[2]], [*taught[:2], dropped])
    # A probe of a second and lessons of two.
    assert found["generation_time"].above == pytest.approx([3.0, NAN, NAN], nan_ok=True)
    assert alone_measures([alone[0], failed])["generation_time"].above == pytest.approx([2.0, NAN], nan_ok=True)
