"""The vocabulary of the teaching protocol: what is asked of a model, what comes back, and the record of one lesson."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class Message:
    """One turn of a chat conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Prompt:
    """A conversation to be continued; each model renders it with its own chat template and tokenizer."""

    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Sampling:
    """How one stage samples: token budget and the usual truncations of the next-token distribution.

    `temperature=0` is greedy decoding; `top_k=0` and `min_p=0` switch these truncations off.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0


@dataclass(frozen=True)
class Completion:
    """One sampled continuation.

    `token_ids` are the sampled ids, the end-of-turn token included when the model stopped by itself. `logprobs`, one
    per token id and in nats, are those of the distribution that was sampled from; `None` when they were not asked for.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    finish_reason: Literal["stop", "length"]

    @property
    def truncated(self) -> bool:
        """Whether the token budget ended the text, not the model."""
        return self.finish_reason == "length"


@dataclass(frozen=True)
class Generation:
    """The completions of one prompt, with the prompt's exact token ids and the weight version that sampled them."""

    prompt_ids: tuple[int, ...]
    completions: tuple[Completion, ...]
    weight_version: int = 0


class GenerationError(RuntimeError):
    """A generation failed for good, its retries spent.

    `cause` is a short label to count failures by, such as `timeout`, `http_500` or `context`.
    """

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class Generator(Protocol):
    """A model that continues conversations: the only thing the protocol knows about teacher and student."""

    async def generate(
        self, prompts: Sequence[Prompt], *, n: int, sampling: Sampling, seed: int, logprobs: bool = False
    ) -> list[Generation]:
        """Sample `n` completions of each prompt; the result has one `Generation` per prompt, in order.

        Raises:
            GenerationError: when the completions could not be had; none of them is returned then.
        """
        ...


@dataclass(frozen=True)
class Question:
    """One row of a dataset: the question asked, its ground truth, and whatever else the row carries."""

    row: int
    text: str
    ground_truth: str | None
    extra: dict[str, Any] = field(default_factory=dict)
