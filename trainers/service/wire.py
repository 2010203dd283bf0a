"""The format of `/v1/chat/completions` from the server's side: pure functions between JSON, questions and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from trainers.generation.token_estimates import estimated_tokens
from trainers.service.stops import cut
from trainers.teaching.adaptive import Guidance, GuidedAnswer
from trainers.teaching.lesson import Solution

_UNSUPPORTED = (
    *("tools", "functions", "logprobs", "audio", "web_search_options"),
    *("logit_bias", "presence_penalty", "frequency_penalty"),
)
_ROLES = {"user": "User", "assistant": "Assistant"}
_MOST_STOPS = 4


class BadRequest(ValueError):
    """A request that is not understood; the message goes to the client."""


@dataclass(frozen=True)
class ChatRequest:
    """A client's request: a question, what the system says to the student, and how it wants to be answered.

    `None` leaves a value to the service.
    """

    model: str
    question: str
    system: str | None
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    stop: tuple[str, ...]
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
    _refuse_unsupported(body)
    turns = _turns(body.get("messages"))
    conversation = [turn for turn in turns if turn[0] in _ROLES]
    if not conversation or conversation[-1][0] != "user":
        raise BadRequest("The last message must be the user's.")
    lengths = {name: _number(body, name, int, 1) for name in ("max_completion_tokens", "max_tokens")}
    options = body.get("stream_options")
    return ChatRequest(
        model=str(body.get("model") or ""),
        question=_question(conversation),
        system="\n\n".join(text for role, text in turns if role not in _ROLES) or None,
        max_tokens=lengths["max_completion_tokens"] or lengths["max_tokens"],
        temperature=_number(body, "temperature", float, 0, 2),
        top_p=_number(body, "top_p", float, 0, 1) or None,
        stop=_stops(body.get("stop")),
        seed=_number(body, "seed", int),
        stream=_flag(body, "stream"),
        include_usage=isinstance(options, Mapping) and _flag(options, "include_usage"),
    )


def answer(identity: str, created: int, model: str, given: GuidedAnswer, stop: Sequence[str] = ()) -> dict[str, Any]:
    """Return a whole answer up to a stop string; the lesson's metadata is in the field `atlas`."""
    text, stopped = cut(given.text, stop)
    return {
        **_head(identity, created, model, "chat.completion"),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": finish_reason(given.answer, stopped),
            }
        ],
        "usage": usage(given.guidance, given.answer.tokens),
        "atlas": metadata(given.guidance),
    }


def finish_reason(solution: Solution | None, stopped: bool) -> str:
    """Return why an answer ended: by itself or at a stop string, or because its budget was used up."""
    return "length" if solution is not None and solution.truncated and not stopped else "stop"


def chunk(
    identity: str, created: int, model: str, *, piece: str | None = None, finish_reason: str | None = None
) -> dict[str, Any]:
    """Return one piece of a streamed answer, or its end."""
    delta = {} if piece is None else {"content": piece}
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {**_head(identity, created, model, "chat.completion.chunk"), "choices": [choice]}


def opening(identity: str, created: int, model: str, guidance: Guidance) -> dict[str, Any]:
    """Return the first chunk of a stream: the role, and the lesson's metadata."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    head = _head(identity, created, model, "chat.completion.chunk")
    return {**head, "choices": [choice], "atlas": metadata(guidance)}


def usage_chunk(identity: str, created: int, model: str, guidance: Guidance, tokens: int) -> dict[str, Any]:
    """Return the last chunk of a stream whose client wants usage."""
    head = _head(identity, created, model, "chat.completion.chunk")
    return {**head, "choices": [], "usage": usage(guidance, tokens)}


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


def model(name: str) -> dict[str, Any]:
    """Return a model as it is listed."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "atlas"}


def error(message: str, kind: str) -> dict[str, Any]:
    """Return an error as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


def _head(identity: str, created: int, model: str, kind: str) -> dict[str, Any]:
    return {"id": identity, "object": kind, "created": created, "model": model}


def _refuse_unsupported(body: Mapping[str, Any]) -> None:
    """Fields that would change the answer are refused; what does nothing, such as a penalty of 0, is not."""
    for name in _UNSUPPORTED:
        if body.get(name):
            raise BadRequest(f"{name} is not supported: a taught student answers in text, as it samples it.")
    wanted = body.get("response_format")
    if wanted and not (isinstance(wanted, Mapping) and wanted.get("type") == "text"):
        raise BadRequest("response_format is not supported: the student answers in text.")
    if body.get("n") not in (None, 1):
        raise BadRequest("n must be 1: ask again for another answer.")


def _turns(messages: Any) -> list[tuple[str, str]]:
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise BadRequest("messages must be a list with at least one message.")
    return [_turn(message) for message in messages]


def _turn(message: Any) -> tuple[str, str]:
    role = message.get("role") if isinstance(message, Mapping) else None
    if role not in ("system", "developer", *_ROLES):
        raise BadRequest("Every message needs a role: system, user or assistant.")
    content = message.get("content")
    if isinstance(content, Sequence) and not isinstance(content, str):
        if not all(isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in content):
            raise BadRequest("Only text is supported inside messages.")
        content = "".join(part["text"] for part in content)
    return role, _text(content, "The content of a message")


def _text(value: Any, what: str) -> str:
    """Return a text that every model can be given: JSON may hold halves of characters, which no encoding has."""
    if not isinstance(value, str):
        raise BadRequest(f"{what} must be a text.")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise BadRequest(f"{what} must be valid Unicode: it holds half of a surrogate pair.")
    return value


def _stops(value: Any) -> tuple[str, ...]:
    strings = [value] if isinstance(value, str) else value or []
    if not isinstance(strings, Sequence) or len(strings) > _MOST_STOPS or not all(strings):
        raise BadRequest(f"stop must be a text, or a list of at most {_MOST_STOPS}, none of them empty.")
    return tuple(_text(string, "A stop string") for string in strings)


def _question(turns: Sequence[tuple[str, str]]) -> str:
    """Return the question of a conversation: its one message, or all turns with who says them."""
    if len(turns) == 1:
        return turns[0][1]
    return "\n\n".join(f"{_ROLES[role]}: {text}" for role, text in turns)


def _number(body: Mapping[str, Any], name: str, kind: type, least: float = -inf, most: float = inf) -> Any:
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
