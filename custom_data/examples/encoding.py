"""SFT examples as token ids: the very prompt that GRPO makes of a row, and what the policy would have to sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from custom_data.examples.prompt import example_prompt
from trainers.generation.chat_templates.assistant_turn import EMPTY_REASONING, OPENED, AssistantTurn, assistant_turn
from trainers.generation.chat_templates.rendering import chat_ids
from trainers.generation.chat_templates.reply_ids import completion_ids
from trainers.teaching.prompts import PromptTemplates

IGNORED = -100
"""The label of a token that is not learned."""


@dataclass(frozen=True)
class EncodedExample:
    """Token ids of an example's prompt, and of the reply with its end of turn."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]

    @property
    def input_ids(self) -> list[int]:
        """The whole sequence."""
        return [*self.prompt_ids, *self.completion_ids]

    @property
    def labels(self) -> list[int]:
        """The target of the loss for each token: `IGNORED` over the prompt, then the completion's ids."""
        return [IGNORED] * len(self.prompt_ids) + [*self.completion_ids]


@dataclass(frozen=True)
class ExampleEncoder:
    """Encodes examples for one teacher.

    Args:
        tokenizer: the teacher's.
        templates: what is said to it.
        chat_template_kwargs: variables of its chat template.
    """

    tokenizer: Any
    templates: PromptTemplates
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def turn(self) -> AssistantTurn:
        """The form in which the teacher's chat template opens and ends its turns."""
        return assistant_turn(self.tokenizer, self.chat_template_kwargs)

    @property
    def framing_bytes(self) -> int:
        """At most so many bytes, or tokens, stand around a reply that its prompt does not have."""
        return len((self.turn.opening + OPENED + EMPTY_REASONING + self.turn.ending).encode()) + len(self.turn.end_ids)

    def encode(self, example: Mapping[str, Any]) -> EncodedExample:
        """Return an example with the columns of `custom_data.rows.formats.EXAMPLE_FIELDS` as token ids."""
        prompt = example_prompt(example, self.templates)
        prompt_ids = chat_ids(self.tokenizer, prompt.messages, self.chat_template_kwargs)
        return EncodedExample(prompt_ids, completion_ids(self.tokenizer, self.turn, prompt_ids, example["reply"]))
