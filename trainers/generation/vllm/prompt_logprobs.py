"""The log-probabilities that a model gives to token ids which another one has sampled: the wire format, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from trainers.generation.types import Completion, MalformedResponse
from trainers.generation.vllm.completions import TokenIds


def scoring_body(model: str, sequences: Sequence[TokenIds]) -> dict[str, Any]:
    """Return the request for the log-probability of each token of the sequences; a server generates one token at least.

    Zero alternatives: the tokens' own log-probabilities, the smallest answer that has them.
    """
    return {
        "model": model,
        "prompt": sequences,
        "n": 1,
        "seed": 0,
        "max_tokens": 1,
        "temperature": 0.0,
        "prompt_logprobs": 0,
    }


class PromptLogprobs:
    """Reads the answer to `scoring_body`, as `Completions` reads one with completions.

    What it yields are completions without tokens, whose `logprobs` are those of the sequence's tokens but the first.

    Args:
        sequences: token ids that were sent, in order.
    """

    def __init__(self, sequences: Sequence[TokenIds]) -> None:
        self._sequences = sequences
        self._missing = set(range(len(sequences)))

    @property
    def missing(self) -> int:
        """The number of sequences that have not been answered."""
        return len(self._missing)

    def feed(self, document: bytes) -> Iterator[tuple[int, Completion]]:
        """Yield what one JSON document says of each sequence, with its index.

        Raises:
            MalformedResponse: when it is not such a document, or a sequence was answered already, or a token of it
                lacks its log-probability.
        """
        try:
            answer = _decode(document)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedResponse(f"{error}: {document[:_EXCERPT]!r}") from error
        for choice in answer.choices:
            if choice.index not in self._missing:
                raise MalformedResponse(f"a sequence {choice.index} was not sent or came twice")
            values = _values(self._sequences[choice.index], choice.prompt_logprobs)
            self._missing.remove(choice.index)
            yield choice.index, Completion("", (), values, "length")


class _Scored(msgspec.Struct):
    logprob: float


class _Choice(msgspec.Struct):
    index: int
    prompt_logprobs: tuple[dict[int, _Scored] | None, ...] = ()


class _Answer(msgspec.Struct):
    choices: tuple[_Choice, ...]


_decode = msgspec.json.Decoder(_Answer).decode
_EXCERPT = 200


def _values(sequence: TokenIds, answered: Sequence[dict[int, _Scored] | None]) -> tuple[float, ...]:
    """Return the log-probabilities of all tokens but the first, of which nothing is known."""
    if len(answered) != len(sequence):
        raise MalformedResponse(f"expected log-probabilities of {len(sequence)} prompt tokens, got {len(answered)}")
    pairs = zip(sequence[1:], answered[1:], strict=True)
    found = [None if at is None else at.get(token) for token, at in pairs]
    values = tuple(scored.logprob for scored in found if scored is not None)
    if len(values) != len(found):
        raise MalformedResponse(f"{len(found) - len(values)} prompt tokens are without their log-probabilities")
    return values
