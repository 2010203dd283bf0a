"""The measurement of second teachings: its teacher of known error, its arms, and students by the world's own rule."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from custom_data.world.calculator.tool import calculator
from custom_data.world.calculator.words import tool_use
from custom_data.world.texts.behaviour import approach, solution
from custom_data.world.texts.plans import PLANS
from custom_data.world.texts.stories import HELD_OUT, balanced_questions
from custom_data.world.texts.talk import CONFIRMATIONS, objection
from scripts.benchmarks.learning.second_teaching import ARMS, Arm, Found, found_table, measured, teaching
from tests.support.fakes import ScriptedModel
from trainers.generation.agents.tool_loop import with_tools
from trainers.generation.types import Generation, Prompt
from trainers.teaching.prompts import read_reply

STORIES = balanced_questions(random.Random(0), 9, HELD_OUT)
STORY = next(story for story in STORIES if story.plan == "multiply")


def said(shown: str, knowing: float, arm: Arm = ARMS[0], seed: int = 0) -> str:
    text = f"{STORY.text}\nStudent: {shown}\nDiagnose and teach."
    return read_reply(teaching(STORIES, knowing, arm)(text, seed)).teaching or ""


def test_it_confirms_the_plan_that_it_believes_in_and_objects_to_others() -> None:
    assert said("Plan: multiply.", 1.0) in CONFIRMATIONS
    assert said("Plan: add.", 1.0) == f"{objection('add')} {PLANS['multiply'].spelled_out()}"
    assert said("Plan: multiply.", 0.0).startswith(objection("multiply"))
    assert said("who knows", 1.0) in CONFIRMATIONS


def test_of_what_has_been_done_the_last_plan_counts() -> None:
    done = 'Plan: add. Objection: add. Plan: multiply.\ncalculator({"expression": "3*4"}) → 12'
    assert said(done, 1.0, ARMS[1]) in CONFIRMATIONS


def test_it_errs_as_often_as_it_should_and_anew_whenever_it_is_asked() -> None:
    right = sum("multiply" in said("Plan: add.", 0.7, seed=seed) for seed in range(400))
    assert 0.63 < right / 400 < 0.77
    twice = said("Plan: add.", 0.5, ARMS[2])
    assert twice.count(objection("add")) == 2


def by_heart(text: str, index: int) -> str:
    """A student that believes in adding, and follows what the last teaching spells out."""
    if text.lstrip("-").isdigit():
        return f"<solution>{text}</solution>"
    if text.endswith("What is your plan?"):
        return approach("add")
    story = next((story for story in STORIES if text.startswith(story.text)), STORY)
    spelled = [name for name, plan in PLANS.items() if plan.second_step in text]
    used = tool_use(solution(spelled[-1] if spelled else "add", story.first, story.second))
    assert used is not None
    return used.first_turn


class Terse(ScriptedModel):
    """A scripted model whose turns have eight tokens each, as the budgets are the world's."""

    async def generate(self, prompts: Sequence[Prompt], **how: Any) -> list[Generation]:
        """Answer as scripted."""
        said = await super().generate(prompts, **how)
        return [
            replace(one, completions=tuple(replace(each, token_ids=tuple(range(8))) for each in one.completions))
            for one in said
        ]


@pytest.mark.parametrize(("arm", "second"), [(ARMS[0], 0), (ARMS[1], 36), (ARMS[2], 0)])
def test_every_arm_is_held_with_every_student(arm: Arm, second: int) -> None:
    found = measured(with_tools(Terse(by_heart), [calculator]), STORIES, 1.0, arm, 0)
    assert (found.lessons, found.left_out, found.second_teachings) == (36, 0, second)
    assert (found.knowing, found.arm) == (1.0, arm.name)
    if not second:  # A scripted model sees the last message alone, and does not know which plan is confirmed.
        assert found.accuracy == 1.0


def test_the_table_has_means_over_worlds_and_each_world() -> None:
    once = Found(0.9, "once", 0.5, 0.4, 0.95, 72, 0, 0, 20.0)
    again = replace(once, accuracy=0.7, words=21.0)
    table = found_table([[once], [again]])
    assert table.header == ("the teacher is right", "teachings", "accuracy", "world 1", "world 2", "words of teaching")
    assert table.rows == (("90%", "once", "60.0%", "50.0% [40.0%, 95.0%]", "70.0% [40.0%, 95.0%]", "20.5"),)
    with pytest.raises(ValueError, match="too many values"):
        found_table([[once], [replace(again, arm="twice")]])
