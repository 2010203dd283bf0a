"""Chat requests that are passed on to an API as a client wrote them: tools, choices, formats and all."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from trainers.generation.api.wire import tokens_charged
from trainers.generation.control_spellings import WELL_KNOWN, broken, spans_of
from trainers.generation.reasoning import ReasoningFilter, strip_reasoning
from trainers.generation.types import MalformedResponse, Message, Prompt, Sampling


@dataclass(frozen=True)
class RelayedChat:
    """A chat request to be passed on.

    Args:
        messages: the conversation in the API's own form, tool calls and their results included.
        sampling: token budget, temperature and `top_p` of each choice.
        seed: of the first choice.
        fields: all else, such as `tools`, `response_format`, `logprobs` or `n`.
    """

    messages: Sequence[Mapping[str, Any]]
    sampling: Sampling
    seed: int
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt(self) -> Prompt:
        """The conversation as far as its length is concerned, the declarations of tools included."""
        texts = [json.dumps(message) for message in self.messages]
        texts += [json.dumps(self.fields[name]) for name in ("tools", "functions") if name in self.fields]
        return Prompt(tuple(Message("user", text) for text in texts))

    @property
    def budget(self) -> Sampling:
        """The sampling with the tokens of all choices together."""
        choices = max(int(self.fields.get(name, 1)) for name in ("n", "best_of"))
        return replace(self.sampling, max_tokens=self.sampling.max_tokens * choices)

    def request(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a request of ours with the messages and fields of this one.

        Fields that the model's owner adds to every request go before a client's. Control tokens that messages spell
        get a space, as in every request.
        """
        messages = [_as_text(message) for message in self.messages]
        return {**request, "messages": messages, "extra_body": {**self.fields, **request["extra_body"]}}

    def charged(self, answer: Mapping[str, Any]) -> tuple[int, int]:
        """Tokens of prompt and completion that an answer was charged for."""
        text = "".join(json.dumps(choice.get("message")) for choice in answer["choices"])
        return tokens_charged(answer.get("usage") or {}, self.prompt, text)


@runtime_checkable
class ChatRelay(Protocol):
    """A model that takes whole chat requests as clients write them."""

    async def relay(self, chat: RelayedChat) -> dict[str, Any]:
        """Return the answer to a request, as the API gives it.

        Raises:
            GenerationError: when there is none; its `told` is what the API says about the request.
        """
        ...

    def relay_stream(self, chat: RelayedChat) -> AsyncGenerator[dict[str, Any]]:
        """Return the chunks of a streamed answer, the last one with its usage where the API counts it.

        Raises:
            GenerationError: when there is none, or it breaks off.
        """
        ...


def read_choices(answer: Any) -> dict[str, Any]:
    """Check a whole answer, and leave the reasoning out of its texts.

    Raises:
        MalformedResponse: when it has no choices.
    """
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, dict) for choice in choices):
        raise MalformedResponse("the answer has no choices")
    for choice in choices:
        message = choice.get("message")
        if isinstance(message, dict) and isinstance(message.get("content"), str):
            message["content"] = strip_reasoning(message["content"])
    return answer


class RelayedChunks:
    """Takes the chunks of a streamed answer, and leaves out the reasoning of each choice."""

    def __init__(self) -> None:
        self.usage: Mapping[str, Any] = {}
        self.text = ""
        self._visible: dict[int, ReasoningFilter] = {}
        self._open: set[int] = set()

    def feed(self, chunk: dict[str, Any]) -> dict[str, Any] | None:
        """Return a chunk as it may be shown, `None` when nothing is left of it."""
        self.usage = chunk.get("usage") or self.usage
        choices = [shown for choice in chunk.get("choices") or () if (shown := self._shown(choice))]
        return {**chunk, "choices": choices} if choices or chunk.get("usage") else None

    def check_whole(self) -> None:
        """Make sure that every choice ended.

        Raises:
            MalformedResponse: when the stream broke off.
        """
        if self._open or not self._visible:
            raise MalformedResponse("expected finish_reason for every choice of the stream, got none")

    def _shown(self, choice: dict[str, Any]) -> dict[str, Any] | None:
        index, delta = int(choice.get("index") or 0), dict(choice.get("delta") or {})
        first = index not in self._visible
        visible = self._visible.setdefault(index, ReasoningFilter())
        if first:
            self._open.add(index)
            delta.setdefault("role", "assistant")
        else:
            delta.pop("role", None)
        content = delta.get("content")
        text = visible.feed(content) if isinstance(content, str) else ""
        if choice.get("finish_reason"):
            self._open.discard(index)
            text += visible.end()
        if text or isinstance(content, str):
            delta["content"] = text
        self.text += text
        empty = not any(value for value in delta.values())
        return None if empty and not choice.get("finish_reason") else {**choice, "delta": delta}


def _as_text(message: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value if key == "role" else _broken(value) for key, value in message.items()}


def _broken(value: Any) -> Any:
    if isinstance(value, str):
        return broken(value, spans_of(WELL_KNOWN, value))
    if isinstance(value, Mapping):
        return {key: _broken(part) for key, part in value.items()}
    return [_broken(part) for part in value] if isinstance(value, list) else value
