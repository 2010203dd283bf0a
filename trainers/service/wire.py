"""The format of `/v1/chat/completions` from the server's side: pure functions between JSON, requests and answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from trainers.generation.token_estimates import estimated_tokens
from trainers.service.conversation import Conversation, part_types, read_conversation
from trainers.service.errors import BadRequest
from trainers.service.stops import cut
from trainers.teaching.adaptive import Guidance, GuidedAnswer
from trainers.teaching.lesson import Solution


@dataclass(frozen=True)
class Identity:
    """Name all parts of one answer alike: its id, when it was asked for, and the model's name."""

    id: str
    created: int
    model: str

    def head(self, kind: str) -> dict[str, Any]:
        """Return the fields with which an object of some kind begins."""
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


_TAKEN = (
    *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"),
    *("temperature", "top_p", "seed", "stop", "n", "user", "store", "metadata"),
)
"""Fields that the service reads itself, or that concern nobody behind it."""

_OFF: tuple[Any, ...] = (None, False, 0, "", [], {}, {"type": "text"})
"""Values by which a field asks for nothing."""

_BEYOND_TEXT = (
    *("tools", "functions", "logprobs", "audio", "web_search_options", "logit_bias"),
    *("presence_penalty", "frequency_penalty", "response_format", "best_of", "prompt_logprobs"),
)
"""Fields that change what an answer is; a student that only writes text cannot be asked for them."""

_OF_THE_OWNER = (*("service_tier", "models", "route", "provider", "priority", "kv_transfer_params", "lora_request"),)
"""Fields by which APIs and servers are told which model answers, at what price, and before whom."""

_DEFAULT_TIERS = ("auto", "default")
_MOST_LOGPROBS = 20
_MOST_STOPS = 4


@dataclass(frozen=True)
class ChatRequest:
    """A client's request: a conversation, and how it wants to be answered.

    `None` leaves a value to the service. `fields` are all others, for a student that takes whole chat requests.
    """

    model: str | None
    conversation: Conversation
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def for_a_program(self) -> bool:
        """True when a program reads the answer: it may call tools, has a format, or was begun by the client."""
        formal = any(self.wants(name) for name in ("tools", "functions", "response_format"))
        return formal or self.conversation.goes_on

    def wants(self, name: str) -> bool:
        """Return whether a further field asks for anything."""
        return self.fields.get(name) not in _OFF


def read_request(body: Any, *, max_choices: int = 1) -> ChatRequest:
    """Read a request.

    Args:
        body: JSON, as Python values.
        max_choices: the most answers that a client may ask for at a time.

    Raises:
        BadRequest: when it is malformed.
    """
    if not isinstance(body, Mapping):
        raise BadRequest("The body must be a JSON object.")
    _check_unicode(body)
    _check_owners(body)
    taken = (*_TAKEN, *_OF_THE_OWNER, *(("best_of",) if number(body, "best_of", int, 1, max_choices) == 1 else ()))
    for name in ("top_logprobs", "prompt_logprobs"):
        number(body, name, int, 0, _MOST_LOGPROBS)
    lengths = {name: number(body, name, int, 1) for name in ("max_completion_tokens", "max_tokens")}
    options = body.get("stream_options")
    return ChatRequest(
        model=str(body["model"]) if body.get("model") else None,
        conversation=read_conversation(body.get("messages")),
        max_tokens=lengths["max_completion_tokens"] or lengths["max_tokens"],
        temperature=number(body, "temperature", float, 0, 2),
        top_p=number(body, "top_p", float, 0, 1) or None,
        stop=_stops(body.get("stop")),
        seed=number(body, "seed", int),
        n=number(body, "n", int, 1, max_choices) or 1,
        stream=_flag(body, "stream"),
        include_usage=isinstance(options, Mapping) and _flag(options, "include_usage"),
        fields={name: value for name, value in body.items() if name not in taken and value not in (None, [])},
    )


def check_text_only(asked: ChatRequest) -> None:
    """Refuse what a student that only writes text cannot do.

    Raises:
        BadRequest: when something of that is asked for.
    """
    for name in _BEYOND_TEXT:
        if asked.wants(name):
            raise BadRequest(f"{name} is not supported: the student behind this service writes text, as it samples it.")
    if asked.conversation.to_continue:
        raise BadRequest(
            "The last message must be the user's or a tool's: the student behind this service cannot continue one."
        )
    kinds = {kind for message in asked.conversation.messages for kind in part_types(message)} - {"text"}
    if kinds:
        raise BadRequest(
            f"Only text is supported inside messages: the student behind this service reads no {min(kinds)}."
        )


def answer(
    identity: Identity, given: Sequence[GuidedAnswer], stop: Sequence[str], guidance: Guidance
) -> dict[str, Any]:
    """Whole answers up to a stop string, as choices; the lesson's metadata is in the field `atlas`."""
    choices = []
    for index, one in enumerate(given):
        text, stopped = cut(one.text, stop)
        message = {"role": "assistant", "content": text}
        choices.append({"index": index, "message": message, "finish_reason": finish_reason(one.answer, stopped)})
    tokens = sum(one.answer.tokens for one in given)
    return {
        **identity.head("chat.completion"),
        "choices": choices,
        "usage": usage(guidance, tokens),
        "atlas": metadata(guidance),
    }


def finish_reason(solution: Solution | None, stopped: bool) -> str:
    """Return why an answer ended: by itself or at a stop string, or because its budget was used up."""
    return "length" if solution is not None and solution.truncated and not stopped else "stop"


def chunk(
    identity: Identity, delta: Mapping[str, Any], *, index: int = 0, finish_reason: str | None = None
) -> dict[str, Any]:
    """Return one piece of a streamed answer, or its end."""
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
    return {**identity.head("chat.completion.chunk"), "choices": [choice]}


def usage_chunk(identity: Identity, guidance: Guidance, tokens: int) -> dict[str, Any]:
    """Return the last chunk of a stream whose client wants usage."""
    return {**identity.head("chat.completion.chunk"), "choices": [], "usage": usage(guidance, tokens)}


def metadata(guidance: Guidance) -> dict[str, Any]:
    """Return the field `atlas` of an answer: approach and teaching, their tokens, and why there is no teaching."""
    return {
        "taught": guidance.teaching is not None,
        "approach": guidance.approach,
        "teaching": guidance.teaching,
        "guidance_tokens": guidance.tokens,
        "failure": guidance.failure,
    }


def usage(guidance: Guidance, completion_tokens: int) -> dict[str, int]:
    """Return the tokens as clients expect them; those of the prompt are estimated, those of guidance are in `atlas`."""
    prompt_tokens = estimated_tokens(guidance.question)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def counted(told: Mapping[str, Any] | None, guidance: Guidance, answer: str) -> dict[str, Any]:
    """Return the tokens as an API counts them, with the total that some leave out; estimated where it counts none."""
    if not told:
        return dict(usage(guidance, estimated_tokens(answer)))
    total = (told.get("prompt_tokens") or 0) + (told.get("completion_tokens") or 0)
    return {**told, "total_tokens": told.get("total_tokens") or total}


def model(name: str) -> dict[str, Any]:
    """Return a model as it is listed."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "atlas"}


def error(message: str, kind: str) -> dict[str, Any]:
    """Return an error as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


def _check_owners(body: Mapping[str, Any]) -> None:
    """Refuse what only the owner of the models may choose."""
    for name in _OF_THE_OWNER:
        if body.get(name) not in (*_OFF, *(_DEFAULT_TIERS if name == "service_tier" else ())):
            raise BadRequest(f"{name} is not a client's to choose: whoever runs this service sets it.")


def _check_unicode(body: Mapping[str, Any]) -> None:
    """Refuse what no model can be given: JSON may hold halves of characters, which no encoding has."""
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadRequest("The body must be valid Unicode: it holds half of a surrogate pair.") from None


def _stops(value: Any) -> tuple[str, ...]:
    strings = [value] if isinstance(value, str) else value or []
    if not isinstance(strings, Sequence) or len(strings) > _MOST_STOPS or not all(strings):
        raise BadRequest(f"stop must be a text, or a list of at most {_MOST_STOPS}, none of them empty.")
    if not all(isinstance(string, str) for string in strings):
        raise BadRequest("A stop string must be a text.")
    return tuple(strings)


def number(body: Mapping[str, Any], name: str, kind: type, least: float = -inf, most: float = inf) -> Any:
    """Return a number of a request; `None` where it has none.

    Raises:
        BadRequest: when it is none, or out of bounds.
    """
    value = body.get(name)
    if value is None:
        return None
    fits = isinstance(value, kind) or (kind is float and isinstance(value, int))
    if isinstance(value, bool) or not fits or not least <= value <= most:
        bounds = "" if least == -inf else f" of at least {least:g}" if most == inf else f" from {least:g} to {most:g}"
        raise BadRequest(f"{name} must be {'an integer' if kind is int else 'a number'}{bounds}.")
    return value


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value not in (None, True, False):
        raise BadRequest(f"{name} must be true or false.")
    return bool(value)
