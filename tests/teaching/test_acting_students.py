"""Students of several turns in the protocol: what is kept of them, what judges them, and what is left out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.fakes import ScriptedModel
from trainers.generation.agent_model import AgentModel
from trainers.generation.agents.acting import Acted
from trainers.generation.agents.tool_loop import with_tools
from trainers.generation.retries import RetryPolicy
from trainers.generation.types import GenerationError, Generator, Prompt, Sampling, Turn
from trainers.teaching import AdaptiveTeacher
from trainers.teaching.lesson import Grade, Group, Question
from trainers.teaching.lesson_record import lesson_record
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.protocol import Protocol, Stages, Teacher
from trainers.teaching.reward import AdaptiveTeachingReward
from trainers.teaching.verifiers import build_verifier

TEMPLATES = PromptTemplates("SOLVE {question}", "PROBE {question}", "TEACH {question} {approach}", "USE {teaching}")
STAGES = Stages(student=Sampling(200), probe=Sampling(50), teacher=Sampling(30))
TEACHINGS = ["multiply", "add"]
TEACHER = Teacher(ScriptedModel(lambda text, index: f"<teaching>{TEACHINGS[index]}</teaching>"), len)


def calculate(first: int, sign: str, second: int) -> int:
    """Calculate.

    Args:
        first: a number.
        sign: what to do.
        second: another number.
    """
    return first * second if sign == "*" else first + second


def lessons_of(student: Generator) -> Group:
    protocol = Protocol(student, TEMPLATES, build_verifier("exact"), AdaptiveTeachingReward(), STAGES, seed=3)
    asked = protocol.run([Question(0, "6 and 7", "42")], TEACHER, step=1, num_generations=2, num_baselines=2)
    [group] = asyncio.run(asked)
    return group


def solver(fails: Callable[[str], bool] = lambda text: False) -> ScriptedModel:
    """A model that leaves sums to its tool, and multiplies only when it is told to."""

    def says(text: str, index: int) -> str | GenerationError:
        if fails(text):
            return GenerationError("gone", "http_500")
        if text.isdigit():
            return f"<solution>{text}</solution>"
        sign = "*" if "multiply" in text else "+"
        arguments = json.dumps({"first": 6, "sign": sign, "second": 7})
        return f'I call it.<tool_call>{{"name": "calculate", "arguments": {arguments}}}</tool_call>'

    return ScriptedModel(says)


def test_a_model_with_tools_is_taught_and_its_turns_are_kept() -> None:
    group = lessons_of(with_tools(solver(), [calculate]))
    assert group.prepared.approach is not None
    # Asked what it would do it says so, and calls nothing.
    assert group.prepared.approach.text.startswith("I call it.<tool_call>")
    assert [baseline.text for baseline in group.prepared.baselines] == ["<solution>13</solution>"] * 2
    right, wrong = group.lessons
    assert right.taught is not None
    assert (right.taught.correct, wrong.taught_correct) == (True, False)
    assert [turn.role for turn in right.taught.turns] == ["assistant", "tool", "assistant"]
    assert right.taught.tokens == sum(turn.tokens for turn in right.taught.turns)
    assert right.reward is not None
    assert right.reward > (wrong.reward or 0.0)
    assert lesson_record(right)["taught"]["turns"][1]["text"] == "42"


def test_one_that_never_answers_is_truncated_and_wrong_but_not_left_out() -> None:
    endless = ScriptedModel(lambda text, index: '<tool_call>{"name": "calculate", "arguments": {}}</tool_call>')
    group = lessons_of(with_tools(endless, [calculate], max_turns=2))
    assert group.dropped is None
    assert [lesson.taught.truncated for lesson in group.lessons if lesson.taught] == [True, True]
    assert [lesson.taught_correct for lesson in group.lessons] == [False, False]
    assert all(lesson.reward is not None for lesson in group.lessons)


def test_a_failure_in_a_later_turn_leaves_the_lesson_out() -> None:
    group = lessons_of(with_tools(solver(lambda text: text == "42"), [calculate]))
    left_out, kept = group.lessons
    assert (left_out.failure, left_out.reward) == ("taught_http_500", None)
    assert kept.taught_correct is False


class Environment:
    """An agent whose environment grades it, better where it is told to multiply."""

    def __init__(self, score: Any = None) -> None:
        self.score = score

    async def act(self, text: str) -> Acted:
        grade = self.score if self.score is not None else 0.75 if "multiply" in text else 0.25
        return Acted("done", (Turn("assistant", "done", 1),), grade)


def test_an_environments_own_score_takes_the_place_of_a_verdict() -> None:
    group = lessons_of(AgentModel(Environment()))
    right, wrong = group.lessons
    assert right.taught is not None
    assert (right.taught.correct, right.taught.grade, right.taught.answered) == (True, Grade(0.75), True)
    assert (wrong.taught_correct, wrong.taught_score) == (False, 0.25)
    assert [baseline.score for baseline in group.prepared.baselines] == [0.25, 0.25]


def test_a_score_out_of_range_is_left_out_and_never_zero() -> None:
    group = lessons_of(AgentModel(Environment(score=7), retry=RetryPolicy(attempts=1)))
    assert group.dropped == "baseline_function"
    assert all(lesson.reward is None for lesson in group.lessons)


@pytest.mark.parametrize("student", [Environment(), with_tools(solver(), [calculate])])
def test_outside_of_training_they_are_students_too(student: Any) -> None:
    teacher = AdaptiveTeacher(lambda text: "<teaching>multiply</teaching>", templates=TEMPLATES)
    lesson = teacher.teach_sync("6 and 7", student, baseline=True)
    assert lesson.answer.turns[-1].text == lesson.text
    assert lesson.baseline is not None
    assert lesson.baseline.turns


def test_only_the_probe_says_that_nothing_is_done_yet() -> None:
    asked: list[Prompt] = [TEMPLATES.baseline("x"), TEMPLATES.taught("x", "y"), TEMPLATES.blind("y", "number")]
    assert [prompt.may_act for prompt in (*asked, TEMPLATES.probe("x"))] == [True, True, True, False]
