"""Checks that a model's chat template lets it be asked, answer and stop. Pure but for the tokenizer that renders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trainers.configuration import Problem
from trainers.configuration.settings.experiments import Experiment
from trainers.configuration.settings.models.prompts import PromptSettings
from trainers.generation.chat_templates.assistant_turn import (
    CLOSED,
    AssistantTurn,
    assistant_turn,
    opened_reasoning,
    rendered,
)
from trainers.generation.chat_templates.rendering import chat_ids
from trainers.generation.chat_templates.template_errors import refusals
from trainers.launch.checks.model_uses import ModelUse

QUESTION = "How many apples are seven and eight apples?"
APPROACH = "I would add."
SHOWN = 60


@dataclass(frozen=True)
class TemplateConversation:
    """The traits of a model's conversations, as its chat template writes them.

    Args:
        turn: how its template writes the model's own turns.
        end: the end of a turn as it is spelled.
        asks: whether the template writes the question that it is given.
        opens_reasoning: whether its prompts open a block of reasoning.
        hides_reasoning: whether the end of reasoning is a special token, which servers leave out of texts.
    """

    turn: AssistantTurn
    end: str
    asks: bool
    opens_reasoning: bool
    hides_reasoning: bool


def conversation_of(tokenizer: Any, chat_template_kwargs: Mapping[str, Any]) -> TemplateConversation | None:
    """Return how a model converses; `None` for a template that refuses a question, about which it says itself why."""
    prompt = rendered(tokenizer, [("user", QUESTION)], chat_template_kwargs, generation=True)
    if not prompt:
        return None
    turn = assistant_turn(tokenizer, chat_template_kwargs)
    return TemplateConversation(
        turn,
        "".join(tokenizer.convert_ids_to_tokens(list(turn.end_ids))),
        asks=QUESTION.lower() in prompt.lower(),
        opens_reasoning=bool(opened_reasoning(prompt)),
        hides_reasoning=CLOSED in tokenizer.all_special_tokens,
    )


def turn_problems(use: ModelUse, conversation: TemplateConversation) -> Iterator[Problem]:
    """Yield the reasons why a model cannot be asked: it would see no question, never stop, or never be heard."""
    given = f"{use.key}={use.model}"
    if not conversation.asks:
        expected = "its chat template does not write the text of a message: the model would answer without its question"
        remedy = "choose a model whose template takes texts; one for images wants them as parts"
        yield Problem(given, expected, remedy)
    if conversation.turn.source == "nothing":
        expected = (
            "neither its chat template nor its tokenizer names an end of turn: it would learn none, and every "
            "completion would run to its limit"
        )
        yield Problem(given, expected, "set eos_token in its tokenizer_config.json, or choose another model")
    if conversation.opens_reasoning and conversation.hides_reasoning:
        expected = (
            f"its prompts open <think>, and {CLOSED} is a special token that servers leave out: no reply could be told "
            "from reasoning"
        )
        remedy = f'write "special": false for {CLOSED} in its tokenizer_config.json'
        switch = f"{use.role}_chat_template_kwargs={{enable_thinking: false}}"
        yield Problem(given, expected, f"{remedy}, or switch reasoning off, mostly by {switch}")


def turn_warnings(use: ModelUse, conversation: TemplateConversation) -> Iterator[str]:
    """Yield a warning where the end of a turn is guessed."""
    if conversation.turn.source == "next turn":
        yield (
            f"{use.key}={use.model}: its chat template ends no turn of the model's; {conversation.end}, with which the "
            "next turn begins, is taken for the end"
        )
    if conversation.turn.source == "eos":
        yield (
            f"{use.key}={use.model}: its chat template does not tell how a turn of the model's ends; the tokenizer's "
            f"eos {conversation.end} is taken for it. Where the model has learned another end, completions run to "
            "their limit"
        )


def prompt_warnings(use: ModelUse, tokenizer: Any, config: Experiment, trained: Mapping[str, Any]) -> Iterator[str]:
    """Yield a warning where a teacher is asked otherwise than the run asked it that trained it, shown on one row.

    Args:
        use: the teacher.
        tokenizer: its own.
        config: of the run that is about to start.
        trained: the flat keys of the run that wrote the teacher, as they were saved.
    """
    theirs, ours = (_teacher_prompt(tokenizer, keys) for keys in (trained, config.flat()))
    if theirs is None or ours is None or theirs == ours:
        return
    place = next((i for i, pair in enumerate(zip(theirs, ours, strict=False)) if len(set(pair)) > 1), None)
    place = min(len(theirs), len(ours)) if place is None else place
    was, now = (repr(tokenizer.decode(list(ids[place:]))[:SHOWN]) for ids in (theirs, ours))
    yield (
        f"{use.key}={use.model} was trained on other prompts: at token {place + 1} of a row's prompt it knows {was}, "
        f"and would now be given {now}. → set teacher_chat_template_kwargs and the templates as in its config.yaml"
    )


def _teacher_prompt(tokenizer: Any, keys: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Return a row's prompt by the flat keys of a run; `None` where they have none."""
    # The launcher imports this module, and need not spend the seconds that transformers takes.
    from trainers.builders.protocol import prompt_templates

    known = {name: keys[name] for name in PromptSettings.model_fields if name in keys}
    if "teacher_template" not in known:
        return None
    try:
        prompt = prompt_templates(PromptSettings.model_validate(known)).teacher(QUESTION, APPROACH)
        return chat_ids(tokenizer, prompt.messages, keys.get("teacher_chat_template_kwargs") or {})
    except refusals():
        return None
