"""Questions that cannot fit are found before anything is generated, by one rule."""

import pytest

from trainers.generation.types import Sampling
from trainers.teaching.lengths import Context, overlong_stage, stage_needs
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.protocol import Stages

TEMPLATES = PromptTemplates("{question}", "{question}", "{question}{approach}", "{question}{teaching}")
STAGES = Stages(student=Sampling(20), probe=Sampling(10), teacher=Sampling(30))


def context(limit, overhead=None):
    return Context(lambda prompt: len(prompt.messages[-1].content), limit, lambda _: overhead)


def stage(length, student, *teachers, **more):
    return overlong_stage("x" * length, stage_needs(TEMPLATES, STAGES, student, teachers, **more))


@pytest.mark.parametrize(
    ("length", "student", "teacher", "expected"),
    [
        (10, 100, 100, None),
        (10, None, None, None),
        (81, 100, 1000, "baseline"),
        (60, 100, 1000, "taught"),
        (49, 100, 90, None),
        (49, 100, 89, "teacher"),
    ],
)
def test_the_first_stage_that_does_not_fit_is_named(length, student, teacher, expected):
    assert stage(length, context(student), context(teacher)) == expected


def test_every_teacher_must_have_room():
    assert stage(49, context(100), context(90), context(89)) == "teacher"


def test_without_teachers_only_what_the_student_does_alone_counts():
    assert stage(60, context(100)) is None


def test_a_longest_teacher_prompt_counts_the_approach_at_its_budget():
    assert stage(39, context(100), context(1000), max_prompt_length=50) is None
    assert stage(40, context(100), context(1000), max_prompt_length=50) == "teacher"


def test_up_to_a_number_of_bytes_no_question_needs_counting():
    needs = stage_needs(TEMPLATES, STAGES, context(100, overhead=5), (context(90, overhead=5),))
    assert {need.stage: need.certain() for need in needs} == {"baseline": 75, "probe": 85, "teacher": 44, "taught": 44}
    assert all(need.fits("x" * need.certain()) for need in needs)


def test_a_template_that_repeats_the_question_counts_it_as_often():
    twice = PromptTemplates("{question} {question}", "{question}", "{question}{approach}", "{question}{teaching}")
    baseline, _ = stage_needs(twice, STAGES, context(100, overhead=0), ())
    assert baseline.certain() == (100 - 20 - 1) // 2


def test_with_a_tokenizer_of_another_kind_every_question_is_counted():
    assert {need.certain() for need in stage_needs(TEMPLATES, STAGES, context(100), ())} == {-1}


def test_without_limits_every_question_fits():
    assert stage_needs(TEMPLATES, STAGES, context(None), (context(None),)) == ()


def test_a_need_names_the_key_that_sets_its_limit():
    needs = stage_needs(TEMPLATES, STAGES, context(100), (context(90),), max_prompt_length=50)
    student, teacher = "student_max_model_len", "teacher_max_model_len"
    assert [(need.stage, need.key, need.limit) for need in needs] == [
        ("baseline", student, 100),
        ("probe", student, 100),
        ("teacher", teacher, 90),
        ("taught", student, 100),
        ("teacher", "max_prompt_length", 50),
    ]


def test_a_context_smaller_than_its_budgets_fits_no_question_for_certain():
    baseline, *_ = stage_needs(TEMPLATES, STAGES, context(10, overhead=5), ())
    assert baseline.certain() == -1
