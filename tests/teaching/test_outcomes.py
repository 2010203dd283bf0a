"""The end of a lesson: solved, told once more, found to reveal the answer, or failed in a stage and for a cause."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from tests.support.lessons import lesson, solution
from trainers.generation.types import GenerationError
from trainers.teaching.lesson import Group, Lesson, Midway
from trainers.teaching.parts.outcomes import MidwayError, failed_group, failed_lesson, revealing, with_solution

DRAFT = replace(lesson([False], True, length=5, reward=None), taught=None)
SECOND = Midway("", "multiply", 8, False, False, False, transcript="seen", tokens=29, truncated=False)
FLAGS = ("leaked", "suspected_leak", "forged")


def test_a_solution_is_the_lessons() -> None:
    solved = solution(True)
    assert with_solution(DRAFT, solved) == replace(DRAFT, taught=solved, failure=None)
    assert with_solution(replace(DRAFT, failure="earlier"), solved).failure is None


def test_a_solution_that_nobody_could_judge_says_why() -> None:
    unknown = replace(solution(None), cause="timeout")
    assert with_solution(DRAFT, unknown) == replace(DRAFT, taught=unknown, failure="verdict_timeout")


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (GenerationError("gone", "http_500"), "taught_http_500"),
        (MidwayError("gone", "http_500"), "teacher_http_500"),
    ],
)
def test_a_solution_that_failed_says_in_whose_hands(error: GenerationError, failure: str) -> None:
    assert with_solution(DRAFT, error) == replace(DRAFT, failure=failure)


def test_the_words_of_a_second_teaching_count() -> None:
    solved = replace(solution(True), midway=SECOND)
    assert with_solution(DRAFT, solved) == replace(DRAFT, taught=solved, teaching_length=13)
    unknown = replace(solved, correct=None, cause="timeout")
    assert with_solution(DRAFT, unknown).failure == "verdict_timeout"
    assert with_solution(DRAFT, unknown).teaching_length == 13


@pytest.mark.parametrize(("flag", "once", "again"), [*product(FLAGS, (False, True), (False, True))])
def test_what_is_wrong_with_either_teaching_is_wrong_with_the_lesson(flag: str, once: bool, again: bool) -> None:
    solved = replace(solution(True), midway=replace(SECOND, **{flag: again}))
    found = with_solution(replace(DRAFT, **{flag: once}), solved)
    assert {name: getattr(found, name) for name in FLAGS} == dict.fromkeys(FLAGS, False) | {flag: once or again}


@pytest.mark.parametrize("suspected", [False, True])
def test_what_reveals_the_answer_has_leaked_and_is_no_suspicion_any_more(suspected: bool) -> None:
    draft = replace(DRAFT, suspected_leak=suspected)
    assert revealing(draft, True) == replace(draft, leaked=True, suspected_leak=False)
    assert revealing(draft, False) == draft


def failed(member: int) -> Lesson:
    return Lesson(
        prepared=DRAFT.prepared,
        member=member,
        sample=None,
        thinking="",
        teaching=None,
        teaching_length=0,
        leaked=False,
        suspected_leak=False,
        taught=None,
        reward=None,
        failure="teacher_timeout",
        forged=False,
        blind=None,
    )


def test_a_lesson_that_failed_has_nothing_but_its_cause() -> None:
    assert failed_lesson(DRAFT.prepared, 3, "teacher_timeout") == failed(3)
    assert not failed(3).format_failure


def test_a_group_that_could_not_be_taught_has_as_many_lessons_as_it_was_to_have() -> None:
    expected = Group(DRAFT.prepared, (failed(0), failed(1), failed(2)), "teacher_timeout")
    assert failed_group(DRAFT.prepared, "teacher_timeout", 3) == expected
