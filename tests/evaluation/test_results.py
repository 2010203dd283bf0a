"""The results of an evaluation: whose lessons they are, what they cost, and which of their times are comparable."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.support.evaluations import evaluated, pooled
from trainers.configuration.devices.placement import STUDENT_ALONE
from trainers.evaluation.measures.results import TEACHER_PRICES, Results, results_of
from trainers.evaluation.measures.solved_questions import Alone, Effort, Taught
from trainers.evaluation.measures.summary import mean_over_students, measured_alone, measured_taught

DEAR, CHEAP = {"prompt": 2.0, "completion": 10.0}, {"prompt": 1.0, "completion": 4.0}
TOPICS = {0: {"topic": "rows", "level": "all"}, 1: {"topic": "crates", "level": "all"}}


def asked_for(*verdicts: tuple[list[bool | None], list[bool | None]]) -> tuple[list[Alone], list[Taught]]:
    """Questions of two topics, with the tokens that their teacher was asked for."""
    alone, taught = evaluated(*verdicts, extra=TOPICS)
    effort = replace(taught[0].teaching, teacher_prompt_tokens=300, teacher_generated_tokens=40)
    return alone, [replace(each, teaching=effort) for each in taught]


WEAK, STRONG = (
    asked_for(([False, True], [True]), ([False, False], [False])),
    asked_for(([True, False], [True]), ([True, True], [True])),
)


def test_what_one_student_costs_is_by_its_price_and_its_teachers() -> None:
    alone, taught = WEAK
    settings = {
        "student_price_per_million_tokens": DEAR,
        TEACHER_PRICES: {"T": CHEAP, "U": DEAR},
        "level_column": "topic",
    }
    results = Results(tuple(alone), {"T": tuple(taught), "U": tuple(taught)}, settings)
    expected = [
        measured_alone(alone, DEAR).arm(STUDENT_ALONE),
        measured_taught(alone, taught, DEAR, "topic", CHEAP).arm("T"),
        measured_taught(alone, taught, DEAR, "topic", DEAR).arm("U"),
    ]
    assert [arm.as_dict() for arm in results.arms()] == [arm.as_dict() for arm in expected]
    assert {"cost", "cost_student", "cost_teacher", "maximum_improvement"} <= set(results.arms()[1].estimates)


def test_what_has_no_price_has_no_cost_and_levels_are_the_datasets_own_where_none_are_named() -> None:
    alone, taught = WEAK
    results = Results(tuple(alone), {"T": tuple(taught)})
    assert (results.prices("student"), dict(results.teacher_prices)) == (None, {})
    assert not [arm.name for arm in results.arms() if "cost" in arm.estimates]
    expected = measured_taught(alone, taught, None, None, None).arm("T")
    assert results.arms()[1].as_dict() == expected.as_dict()


def test_each_student_of_a_pool_has_a_price_and_lessons_of_its_own() -> None:
    results = pooled(("strong",), {"weak": DEAR}, weak=WEAK, strong=STRONG)
    assert (results.students, results.questions, results.held_out) == (("weak", "strong"), 2, {"strong"})
    assert (results.prices("weak"), results.prices("strong")) == (DEAR, None)
    for name, (alone, taught), prices in (("weak", WEAK, DEAR), ("strong", STRONG, None)):
        own = results.of([name])
        assert own.students == (name,)
        assert {item.group.prepared.student for item in own.taught["T"]} == {name}
        expected = [
            measured_alone(alone, prices).arm(STUDENT_ALONE),
            measured_taught(alone, taught, prices, None).arm("T"),
        ]
        assert [arm.as_dict() for arm in own.arms()] == [arm.as_dict() for arm in expected]
    alone, together = (
        mean_over_students([measured_alone(WEAK[0], DEAR), measured_alone(STRONG[0])]),
        mean_over_students([measured_taught(*WEAK, DEAR), measured_taught(*STRONG)]),
    )
    assert [arm.as_dict() for arm in results.arms()] == [
        alone.arm(STUDENT_ALONE).as_dict(),
        together.arm("T").as_dict(),
    ]


@pytest.mark.parametrize("asked", [None, 4])
def test_times_are_those_of_one_concurrency(asked: int | None) -> None:
    """Of two questions the first was worked on at 4 at a time throughout; the second's stages differ."""
    alone, taught = WEAK
    fits, other, unknown = Effort(2.0, concurrency=4), Effort(3.0, concurrency=8), Effort(5.0)
    items = [replace(alone[0], solving=fits, probing=unknown), replace(alone[1], solving=other, probing=fits)]
    lessons = [replace(taught[0], teaching=fits), replace(taught[1], teaching=other)]
    settings = {"other": "key"} if asked is None else {"eval_concurrency": asked}
    found = results_of(iter(items), {"T": iter(lessons)}, settings)
    assert found.settings == settings
    assert isinstance(found.alone, tuple)
    assert isinstance(found.taught["T"], tuple)
    assert [item.prepared for item in found.alone] == [item.prepared for item in items]
    assert [item.group for item in found.taught["T"]] == [item.group for item in lessons]
    left_out = 3.0 if asked is None else math.nan
    assert [item.solving.seconds for item in found.alone] == pytest.approx([2.0, left_out], nan_ok=True)
    assert [item.probing.seconds for item in found.alone] == [5.0, 2.0]
    assert [item.teaching.seconds for item in found.taught["T"]] == pytest.approx([2.0, left_out], nan_ok=True)


def test_the_second_stage_is_left_out_as_the_first_is() -> None:
    [item, _] = WEAK[0]
    other = replace(item, solving=Effort(1.0, concurrency=4), probing=Effort(1.0, concurrency=9))
    [found] = results_of([other], {}, {"eval_concurrency": 4}).alone
    assert math.isnan(found.probing.seconds)
    assert found.solving.seconds == 1.0
