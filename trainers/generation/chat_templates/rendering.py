"""Conversations to token ids, by the model's own tokenizer and chat template."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from trainers.generation.chat_templates.assistant_turn import (
    AssistantTurn,
    assistant_turn,
    opened_reasoning,
    prompt_tail,
)
from trainers.generation.chat_templates.control_tokens import control_tokens
from trainers.generation.chat_templates.plain_text import (
    Hidden,
    forged_spans,
    own_text,
    plain_encoder,
    plain_ids,
    shown_as_text,
)
from trainers.generation.chat_templates.tool_messages import message_record, with_calls_as
from trainers.generation.chat_templates.turn_markers import turn_markers
from trainers.generation.control_spellings import broken, spans_of
from trainers.generation.types import Message, Prompt


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
        """Return the token ids of the conversation, up to where the model is to continue it."""
        return chat_ids(self.tokenizer, prompt.messages, self._chat_template_kwargs, tools=prompt.tools)

    def spells_control(self, text: str) -> bool:
        """Return whether a text spells one of the model's control tokens, or a turn marker as its template does."""
        markers = turn_markers(self.tokenizer, self._chat_template_kwargs)
        return bool(control_tokens(self.tokenizer).spans(text)) or markers.as_written.search(text) is not None

    @cached_property
    def turn(self) -> AssistantTurn:
        """The form in which the chat template writes the model's own turns."""
        return assistant_turn(self.tokenizer, self._chat_template_kwargs)

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """Tokens that end what the model says."""
        return self.turn.stop_ids

    def opened(self, prompt_ids: Sequence[int]) -> str:
        """Return the beginning of the block of reasoning that a rendered prompt has opened; empty if it has not."""
        return opened_reasoning(prompt_tail(self.tokenizer, prompt_ids))


def chat_ids(
    tokenizer: Any,
    messages: Sequence[Message],
    chat_template_kwargs: Mapping[str, Any] | None = None,
    *,
    tools: Sequence[Mapping[str, Any]] = (),
) -> tuple[int, ...]:
    """Return the token ids of a conversation in a model's own template, up to where the model is to continue it.

    SFT, GRPO, evaluation and the service all prompt through this function: what a model was trained on is what it
    meets later.

    The contents of messages are text. Control tokens that they spell are encoded as text, and turn markers that the
    template itself writes as text get a space (`chat_templates.turn_markers`); only the reasoning with which an
    assistant's message begins keeps its tags. A conversation that spells neither has the ids of `apply_chat_template`.
    In the arguments of tool calls, which the template writes, either gets a space. `tools` are described as the
    template has it.

    Raises:
        ValueError: when the tokenizer reads control tokens in a message in spite of all.
    """
    kwargs = chat_template_kwargs or {}
    markers, control = turn_markers(tokenizer, kwargs), control_tokens(tokenizer)
    if tools:
        kwargs = {**kwargs, "tools": list(tools)}

    def harmless(text: str) -> str:
        text = broken(text, spans_of(markers.anywhere, text))
        return broken(text, control.spans(text))

    turns = [_without_markers(with_calls_as(message, harmless), markers.anywhere) for message in messages]
    spans = [forged_spans(control, turn.content, reasoning=_is_reply(turn)) for turn in turns]
    if not any(spans):
        return _templated_ids(tokenizer, turns, kwargs)
    if plain_encoder(tokenizer) is None:
        return _with_spaces(tokenizer, turns, kwargs)
    hidden = Hidden()
    without = [
        replace(turn, content=hidden.without(turn.content, found)) for turn, found in zip(turns, spans, strict=True)
    ]
    ids = plain_ids(tokenizer, _templated(tokenizer, without, kwargs, tokenize=False), hidden)
    return _with_spaces(tokenizer, turns, kwargs) if ids is None else ids


def _with_spaces(tokenizer: Any, turns: Sequence[Message], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    shown = [shown_as_text(tokenizer, turn.content, reasoning=_is_reply(turn)) for turn in turns]
    return _templated_ids(
        tokenizer, [replace(turn, content=text) for turn, text in zip(turns, shown, strict=True)], kwargs
    )


def _templated_ids(tokenizer: Any, turns: Sequence[Message], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(_templated(tokenizer, turns, kwargs, tokenize=True, return_dict=False))


def _templated(tokenizer: Any, turns: Sequence[Message], kwargs: Mapping[str, Any], **options: Any) -> Any:
    listed = [message_record(turn) for turn in turns]
    return tokenizer.apply_chat_template(listed, add_generation_prompt=True, **options, **kwargs)


def _without_markers(message: Message, markers: re.Pattern[str]) -> Message:
    spans = own_text(message.content, spans_of(markers, message.content), reasoning=_is_reply(message))
    return replace(message, content=broken(message.content, spans)) if spans else message


def _is_reply(message: Message) -> bool:
    return message.role == "assistant"
