"""Questions that cannot fit are found before anything is generated, by one rule."""

import pytest

from trainers.teaching.lengths import Context, fitting, overlong_stage
from trainers.teaching.lesson import Question, Sampling
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.protocol import Stages

TEMPLATES = PromptTemplates("{question}", "{question}", "{question}{approach}", "{question}{teaching}")
STAGES = Stages(student=Sampling(20), probe=Sampling(10), teacher=Sampling(30))


def context(limit):
    return Context(lambda prompt: len(prompt.messages[-1].content), limit)


def question(length):
    return Question(0, "x" * length, "4")


@pytest.mark.parametrize(
    ("length", "student", "teacher", "stage"),
    [
        (10, 100, 100, None),
        (10, None, None, None),
        (81, 100, 1000, "baseline"),
        (60, 100, 1000, "taught"),
        (49, 100, 90, None),
        (49, 100, 89, "teacher"),
    ],
)
def test_the_first_stage_that_does_not_fit_is_named(length, student, teacher, stage):
    assert overlong_stage(question(length), TEMPLATES, STAGES, context(student), context(teacher)) == stage


def test_overlong_questions_are_dropped_and_counted():
    fit = fitting([question(n) for n in (10, 60, 90)], TEMPLATES, STAGES, context(100), context(1000))
    assert [len(q.text) for q in fit.kept] == [10]
    assert fit.dropped == {"taught": 1, "baseline": 1}
