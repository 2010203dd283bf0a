"""The wire format of `/v1/completions`, token ids in and out: no I/O, only bytes to records and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from trainers.generation.types import Completion, MalformedResponse, Sampling

TokenIds = tuple[int, ...]
STREAMED_TOKENS = 512
"""Tokens of a completion that one event of a stream brings."""


def request_body(
    model: str,
    prompts: Sequence[TokenIds],
    *,
    n: int,
    sampling: Sampling,
    seed: int,
    logprobs: bool,
    stream: bool = False,
    stop_token_ids: Sequence[int] = (),
) -> dict[str, Any]:
    """Return the request for `n` completions of each prompt.

    Every sampling parameter is stated, none is left to the server.

    Greedy decoding has one completion: it is asked for once. A streamed answer brings its completions in pieces of 512
    tokens: an event per token would cost too much, none before the end would look like a server that hangs. Of
    `stop_token_ids`, the one that is sampled ends a completion as its last token and is left out of the text.
    """
    body: dict[str, Any] = {
        "model": model,
        "prompt": prompts,
        "n": distinct_completions(n, sampling),
        "seed": seed,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "return_token_ids": True,
    }
    if sampling.json_schema is not None:
        body["structured_outputs"] = {"json": sampling.json_schema}
    if stop_token_ids:
        body["stop_token_ids"] = stop_token_ids
    if logprobs:
        # Zero alternatives: the sampled token's own log-probability, the smallest answer that has it.
        body["logprobs"] = 0
    if stream:
        body |= {"stream": True, "stream_interval": min(sampling.max_tokens, STREAMED_TOKENS)}
    return body


def distinct_completions(n: int, sampling: Sampling) -> int:
    """Return how many of `n` completions of a prompt can differ: all, or the one of greedy decoding."""
    return n if sampling.temperature > 0 else 1


class Completions:
    """Puts completions together from the pieces in which an answer brings them; one that comes whole is one piece.

    Args:
        count: completions that were asked for; their indices are 0 … `count` - 1.
        max_tokens: the most tokens each may have.
        logprobs: whether each must have its tokens' log-probabilities.
    """

    def __init__(self, count: int, max_tokens: int, logprobs: bool) -> None:
        self._max_tokens = max_tokens
        self._logprobs = logprobs
        self._pieces: dict[int, list[_Choice]] = {index: [] for index in range(count)}

    @property
    def missing(self) -> int:
        """The number of completions that have not come yet."""
        return len(self._pieces)

    def feed(self, document: bytes) -> Iterator[tuple[int, Completion]]:
        """Yield the completions, with their indices, that one JSON document of the answer brings to their end.

        Raises:
            MalformedResponse: when it is not such a document, or a completion is without tokens, too long, ended for
                an unknown reason, there already, or lacks the log-probabilities that were asked for.
        """
        try:
            answer = _decode(document)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedResponse(f"{error}: {document[:_EXCERPT]!r}") from error
        for choice in answer.choices:
            if choice.index not in self._pieces:
                raise MalformedResponse(f"a completion {choice.index} was not asked for or came twice")
            self._pieces[choice.index].append(choice)
            if choice.finish_reason is not None:
                yield choice.index, self._join(self._pieces.pop(choice.index))

    def _join(self, pieces: Sequence[_Choice]) -> Completion:
        token_ids = tuple(token for piece in pieces for token in piece.token_ids)
        if not 1 <= len(token_ids) <= self._max_tokens:
            raise MalformedResponse(f"expected 1 to {self._max_tokens} tokens, got {len(token_ids)}")
        finish_reason = pieces[-1].finish_reason
        assert finish_reason is not None
        values = _token_logprobs(pieces, len(token_ids)) if self._logprobs else None
        return Completion("".join(piece.text for piece in pieces), token_ids, values, finish_reason)


class EventStream:
    """Cuts a stream of server-sent events into their data."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the data of the events that these bytes complete; the end mark is left out."""
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            content = event.strip().removeprefix(b"data:").strip()
            if content and content != b"[DONE]":
                yield content


class _TokenLogprobs(msgspec.Struct):
    token_logprobs: tuple[float, ...]


class _Choice(msgspec.Struct):
    index: int
    text: str
    token_ids: tuple[int, ...]
    finish_reason: Literal["stop", "length"] | None = None
    logprobs: _TokenLogprobs | None = None


class _Answer(msgspec.Struct):
    choices: tuple[_Choice, ...]


# Skips everything that is not declared above without making objects of it: most of an answer is of no use to us.
_decode = msgspec.json.Decoder(_Answer).decode
_EXCERPT = 200


def _token_logprobs(pieces: Sequence[_Choice], count: int) -> tuple[float, ...]:
    values = tuple(value for piece in pieces if piece.logprobs is not None for value in piece.logprobs.token_logprobs)
    if len(values) != count:
        raise MalformedResponse(f"expected {count} log-probabilities, got {len(values)}")
    return values
