"""The format of `/v1/chat/completions` from the server's side: pure functions between JSON, questions and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainers.teaching.adaptive import Guidance, GuidedAnswer
from trainers.teaching.estimates import estimated_tokens

_UNSUPPORTED = ("tools", "functions", "response_format", "logprobs", "audio")
_ROLES = {"user": "User", "assistant": "Assistant"}


class BadRequest(ValueError):
    """A request that is not understood; the message goes to the client."""


@dataclass(frozen=True)
class ChatRequest:
    """What a client asks: a question, what the system says to the student, and how it wants to be answered.

    `None` leaves a value to the service.
    """

    model: str
    question: str
    system: str | None
    max_tokens: int | None
    temperature: float | None
    seed: int | None
    stream: bool
    include_usage: bool


def read_request(body: Any) -> ChatRequest:
    """Read a request.

    Raises:
        BadRequest: when it is malformed, or asks for something that a taught student does not do.
    """
    if not isinstance(body, Mapping):
        raise BadRequest("The body must be a JSON object.")
    for name in _UNSUPPORTED:
        if body.get(name):
            raise BadRequest(f"{name} is not supported: the student answers in text.")
    if body.get("n") not in (None, 1):
        raise BadRequest("n must be 1: ask again for another answer.")
    messages = body.get("messages")
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise BadRequest("messages must be a list with at least one message.")
    turns = [_turn(message) for message in messages]
    if turns[-1][0] != "user":
        raise BadRequest("The last message must be the user's.")
    length = body.get("max_completion_tokens", body.get("max_tokens"))
    options = body.get("stream_options")
    return ChatRequest(
        model=str(body.get("model") or ""),
        question=_question([turn for turn in turns if turn[0] in _ROLES]),
        system="\n\n".join(text for role, text in turns if role not in _ROLES) or None,
        max_tokens=_number(length, "max_tokens", int, 1),
        temperature=_number(body.get("temperature"), "temperature", float, 0),
        seed=_number(body.get("seed"), "seed", int, 0),
        stream=bool(body.get("stream")),
        include_usage=isinstance(options, Mapping) and bool(options.get("include_usage")),
    )


def answer(identity: str, created: int, model: str, given: GuidedAnswer) -> dict[str, Any]:
    """A whole answer; the lesson's metadata is in the field `atlas`."""
    return {
        **_head(identity, created, model, "chat.completion"),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": given.text},
                "finish_reason": "length" if given.answer.truncated else "stop",
            }
        ],
        "usage": usage(given.guidance, given.answer.tokens),
        "atlas": metadata(given.guidance),
    }


def chunk(
    identity: str, created: int, model: str, *, piece: str | None = None, finish_reason: str | None = None
) -> dict[str, Any]:
    """One piece of a streamed answer, or its end."""
    delta = {} if piece is None else {"content": piece}
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {**_head(identity, created, model, "chat.completion.chunk"), "choices": [choice]}


def opening(identity: str, created: int, model: str, guidance: Guidance) -> dict[str, Any]:
    """The first chunk of a stream: the role, and the lesson's metadata."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    head = _head(identity, created, model, "chat.completion.chunk")
    return {**head, "choices": [choice], "atlas": metadata(guidance)}


def usage_chunk(identity: str, created: int, model: str, guidance: Guidance, text: str) -> dict[str, Any]:
    """The last chunk of a stream whose client wants usage."""
    head = _head(identity, created, model, "chat.completion.chunk")
    return {**head, "choices": [], "usage": usage(guidance, estimated_tokens(text))}


def metadata(guidance: Guidance) -> dict[str, Any]:
    """What a client may want to know of a lesson: the field `atlas`."""
    return {
        "taught": guidance.teaching is not None,
        "approach": guidance.approach,
        "teaching": guidance.teaching,
        "guidance_tokens": guidance.tokens,
        "failure": guidance.failure,
    }


def usage(guidance: Guidance, completion_tokens: int) -> dict[str, int]:
    """Tokens as clients expect them; those of the prompt are estimated, those of guidance are in `atlas`."""
    prompt_tokens = estimated_tokens(guidance.question)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def error(message: str, kind: str) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


def _head(identity: str, created: int, model: str, kind: str) -> dict[str, Any]:
    return {"id": identity, "object": kind, "created": created, "model": model}


def _turn(message: Any) -> tuple[str, str]:
    if not isinstance(message, Mapping) or message.get("role") not in ("system", "developer", *_ROLES):
        raise BadRequest("Every message needs a role: system, user or assistant.")
    content = message.get("content")
    if isinstance(content, Sequence) and not isinstance(content, str):
        if not all(isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in content):
            raise BadRequest("Only text is supported inside messages.")
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise BadRequest("Every message needs a text as its content.")
    return message["role"], content


def _question(turns: Sequence[tuple[str, str]]) -> str:
    """The question of a conversation: its one message, or all turns with who says them."""
    if len(turns) == 1:
        return turns[0][1]
    return "\n\n".join(f"{_ROLES[role]}: {text}" for role, text in turns)


def _number(value: Any, name: str, kind: type, least: int) -> Any:
    if value is None:
        return None
    fits = isinstance(value, kind) or (kind is float and isinstance(value, int))
    if isinstance(value, bool) or not fits or value < least:
        raise BadRequest(f"{name} must be {'an integer' if kind is int else 'a number'} of at least {least}.")
    return value
