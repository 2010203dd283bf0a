"""Conversations to token ids, by the model's own tokenizer and chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from trainers.serving.assistant_turn import AssistantTurn, assistant_turn, opened_reasoning, prompt_tail
from trainers.teaching.lesson import Message, Prompt


class ChatRenderer:
    """Renders prompts for one model. The tokenizer is loaded when it is first needed.

    Args:
        model: path or hub name of the model whose tokenizer and chat template are used.
        chat_template_kwargs: variables handed to the template, such as `{"enable_thinking": False}`.
        revision: the model's revision on the hub.
        trust_remote_code: whether code that comes with the model may run.
    """

    def __init__(
        self,
        model: str,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        *,
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        self._model = model
        self._chat_template_kwargs = dict(chat_template_kwargs or {})
        self._revision = revision
        self._trust_remote_code = trust_remote_code

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        # Importing transformers takes seconds, which a launcher that only describes pools need not spend.
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(
            self._model, revision=self._revision, trust_remote_code=self._trust_remote_code
        )

    def render(self, prompt: Prompt) -> tuple[int, ...]:
        """Token ids of the conversation, up to where the model is to continue it."""
        return chat_ids(self.tokenizer, prompt.messages, self._chat_template_kwargs)

    @cached_property
    def turn(self) -> AssistantTurn:
        """How the model's own turns are written."""
        return assistant_turn(self.tokenizer, self._chat_template_kwargs)

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """Tokens that end what the model says."""
        return self.turn.stop_ids

    def opened(self, prompt_ids: Sequence[int]) -> str:
        """Return the beginning of the block of reasoning that a rendered prompt has opened; empty if it has not."""
        return opened_reasoning(prompt_tail(self.tokenizer, prompt_ids))


def chat_ids(
    tokenizer: Any, messages: Sequence[Message], chat_template_kwargs: Mapping[str, Any] | None = None
) -> tuple[int, ...]:
    """Return the token ids of a conversation in a model's own template, up to where the model is to continue it.

    SFT, GRPO, evaluation and the service all prompt through this function: what a model was trained on is what it
    meets later.
    """
    listed = [{"role": message.role, "content": message.content} for message in messages]
    token_ids = tokenizer.apply_chat_template(
        listed, add_generation_prompt=True, tokenize=True, return_dict=False, **(chat_template_kwargs or {})
    )
    return tuple(token_ids)
