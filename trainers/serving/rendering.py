"""Conversations to token ids, by the model's own tokenizer and chat template."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from trainers.teaching.lesson import Prompt


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
        messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
        token_ids = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=False, **self._chat_template_kwargs
        )
        return tuple(token_ids)
