"""Laws of metrics that hold whatever the lessons are: of their order, their parts, and what is left out of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.lessons import group, lesson
from trainers.evaluation.measures.quantities import alone_measures, taught_measures
from trainers.evaluation.measures.solved_questions import Alone, Effort, Taught
from trainers.teaching.lesson import Group
from trainers.teaching.metrics import agreement, teaching_means, teaching_metrics, tokens_by_stage

NOT_ADDITIVE = {"teaching_length_std", "dropped_groups"}
verdicts = st.sampled_from([True, False, None])
EFFORT = Effort(1.0, 10, 5, None, 7, 3)
DRAWN = settings(deadline=None, derandomize=True, database=None)
"""The same lessons every time: who looks for more changes `derandomize`."""


@st.composite
def groups(draw: st.DrawFn) -> Group:
    """A group of lessons of any verdicts, lengths and leaks: without a verdict no reward, for a malformed one 0."""
    baselines = draw(st.lists(verdicts, min_size=1, max_size=3))
    lessons = []
    for member in range(draw(st.integers(1, 3))):
        taught, malformed = draw(verdicts), draw(st.booleans())
        scorable = any(each is not None for each in baselines) and (malformed or taught is not None)
        made = lesson(
            baselines,
            taught,
            draw(st.integers(1, 40)),
            teaching=None if malformed else "do it",
            reward=None if not scorable else 0.0 if malformed else draw(st.sampled_from([0.0, 0.5, 1.75])),
            leaked=draw(st.booleans()),
            member=member,
            row=draw(st.integers(0, 9)),
        )
        lessons.append(made if draw(st.booleans()) else replace(made, suspected_leak=True))
    return group(*lessons, dropped=draw(st.sampled_from([None, None, "too_few_lessons"])))


several = st.lists(groups(), min_size=1, max_size=4)


@settings(DRAWN, max_examples=50)
@given(several, several)
def test_sums_and_counts_of_two_batches_are_those_of_both(first: list[Group], second: list[Group]) -> None:
    parts, whole = (teaching_means(first), teaching_means(second)), teaching_means([*first, *second])
    assert whole.keys() == parts[0].keys() | parts[1].keys()
    for name in whole.keys() - NOT_ADDITIVE:
        known = [part[name] for part in parts if name in part]
        assert whole[name].total == pytest.approx(sum(mean.total for mean in known)), name
        assert whole[name].count == pytest.approx(sum(mean.count for mean in known)), name
    assert whole["dropped_groups"].value == sum(part["dropped_groups"].value for part in parts)


@settings(DRAWN, max_examples=50)
@given(several, st.randoms())
def test_the_order_of_groups_and_of_their_lessons_changes_nothing(batch: list[Group], chance) -> None:
    mixed = [replace(each, lessons=tuple(chance.sample(each.lessons, len(each.lessons)))) for each in batch]
    chance.shuffle(mixed)
    assert teaching_metrics(mixed) == pytest.approx(teaching_metrics(batch))
    assert tokens_by_stage(mixed) == tokens_by_stage(batch)
    assert agreement(mixed) == agreement(batch)


@settings(DRAWN, max_examples=50)
@given(several, st.integers(1, 3))
def test_lessons_that_were_never_sampled_move_nothing_but_their_own_shares(batch: list[Group], lost: int) -> None:
    """A failure counts as a failure, and never as a zero among what was scored."""
    first = batch[0]
    missing = tuple(
        replace(first.lessons[0], member=9 + n, sample=None, teaching=None, taught=None, reward=None)
        for n in range(lost)
    )
    missing = tuple(replace(each, leaked=False, suspected_leak=False, failure="teacher_timeout") for each in missing)
    with_lost = [replace(first, lessons=(*first.lessons, *missing)), *batch[1:]]
    found, expected = teaching_metrics(with_lost), teaching_metrics(batch)
    lessons = sum(len(each.lessons) for each in batch)
    unscorable = sum(each.reward is None for whole in batch for each in whole.lessons)
    assert found.pop("unscorable_rate") == pytest.approx((unscorable + lost) / (lessons + lost))
    assert found == pytest.approx({name: value for name, value in expected.items() if name != "unscorable_rate"})


@settings(DRAWN, max_examples=50)
@given(several)
def test_shares_are_shares_and_a_gain_is_what_is_put_right_less_what_is_harmed(batch: list[Group]) -> None:
    found = teaching_metrics(batch)
    for name, value in found.items():
        if name.endswith(("_rate", "_accuracy")) or name.startswith("truncated_rate"):
            assert 0 <= value <= 1, name
    if "accuracy_gain" in found:
        assert found["accuracy_gain"] == pytest.approx(found["taught_accuracy"] - found["baseline_accuracy"])
        assert found["accuracy_gain"] == pytest.approx(found["improvement_rate"] - found["degradation_rate"])


def measured(batch: list[Group]) -> dict[str, float]:
    """Return the means of an evaluation with these lessons; what nothing is known of is left out."""
    alone, taught = [Alone(each.prepared, EFFORT, EFFORT) for each in batch], [Taught(each, EFFORT) for each in batch]
    prices = {"prompt": 1.0, "completion": 2.0}
    found = {f"alone/{name}": each for name, each in alone_measures(alone, prices).items()}
    found |= {f"taught/{name}": each for name, each in taught_measures(alone, taught, prices, prices).items()}
    estimates = {name: each.estimate() for name, each in found.items()}
    return {name: estimate.mean for name, estimate in estimates.items() if estimate.known}


@settings(DRAWN, max_examples=15)
@given(several, st.randoms())
def test_the_order_of_questions_changes_no_mean_of_an_evaluation(batch: list[Group], chance) -> None:
    mixed = chance.sample(batch, len(batch))
    assert measured(mixed) == pytest.approx(measured(batch))


@settings(DRAWN, max_examples=15)
@given(several)
def test_every_question_asked_twice_leaves_the_means_of_an_evaluation(batch: list[Group]) -> None:
    assert measured([*batch, *batch]) == pytest.approx(measured(batch))


@settings(DRAWN, max_examples=15)
@given(several)
def test_a_question_whose_baselines_nobody_could_judge_changes_no_accuracy(batch: list[Group]) -> None:
    unjudged = group(lesson([None, None], True, row=99, reward=None))
    found, before = measured([*batch, unjudged]), measured(batch)
    compared = [name for name in before if name.endswith(("accuracy", "accuracy_gain", "fix_rate", "improvement_rate"))]
    assert {name: found[name] for name in compared} == pytest.approx({name: before[name] for name in compared})
