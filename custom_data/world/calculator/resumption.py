"""Conversations that go on after a second teaching, for students to practise.

The plan that a student follows when it is spoken to again is the one that it followed before: it begins with that plan,
and answers the second teaching by the rule by which it answers the first.
"""

import random
from collections.abc import Mapping

from custom_data.world.calculator.words import NAME, ToolUse, tool_use
from custom_data.world.texts.behaviour import any_teaching, taught_solution
from custom_data.world.texts.response import respond
from custom_data.world.texts.stories import PREPARATION, any_question
from custom_data.world.texts.students import Beliefs
from trainers.generation.types import Message, Prompt, ToolCall
from trainers.teaching.prompts import PromptTemplates


def after_call(prompt: Prompt, used: ToolUse, call_id: str) -> Prompt:
    """Return a conversation after a turn that called the calculator, with its result."""
    call = ToolCall(NAME, {"expression": used.expression}, call_id)
    told = (Message("assistant", used.plan, calls=(call,)), Message("tool", used.result, call=call))
    return Prompt((*prompt.messages, *told))


def make_resumed(
    rng: random.Random, beliefs: Mapping[str, Beliefs], templates: Mapping[str, PromptTemplates]
) -> tuple[Prompt, ToolUse]:
    """Return a random conversation up to its second teaching, and what the student does then.

    Args:
        rng: of the examples.
        beliefs: of every student, by its name.
        templates: with the system prompt of every student, by its name.
    """
    question, student = any_question(rng, PREPARATION), rng.choice(list(beliefs))
    own, words = beliefs[student][question.kind], templates[student]
    numbers = (question.first, question.second)
    teaching, given = any_teaching(rng, question, own)
    first = tool_use(taught_solution(own, question.plan, given, *numbers))
    followed = respond(own, question.plan, given)
    again, given_again = any_teaching(rng, question, followed)
    second = tool_use(taught_solution(followed, question.plan, given_again, *numbers))
    assert first is not None
    assert second is not None
    done = after_call(words.taught(question.text, teaching), first, "c00010000")
    return Prompt((*done.messages, Message("user", words.midway(again)))), second
