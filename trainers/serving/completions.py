"""The wire format of `/v1/completions`, token ids in and out: pure functions from and to JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from trainers.teaching.lesson import Completion, Generation, Sampling

TokenIds = tuple[int, ...]


class MalformedResponse(ValueError):
    """A server answered with something that is not what was asked for."""


def request_body(
    model: str, prompts: Sequence[TokenIds], *, n: int, sampling: Sampling, seed: int, logprobs: bool
) -> dict[str, Any]:
    """The request for `n` completions of each prompt; every sampling parameter is stated, none is left to the server.

    Greedy decoding has one completion: it is asked for once.
    """
    body: dict[str, Any] = {
        "model": model,
        "prompt": [list(ids) for ids in prompts],
        "n": _distinct_completions(n, sampling),
        "seed": seed,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "return_token_ids": True,
    }
    if logprobs:
        # Zero alternatives: the sampled token's own log-probability, the smallest answer that has it.
        body["logprobs"] = 0
    return body


def parse_generations(
    answer: Any, prompts: Sequence[TokenIds], *, n: int, sampling: Sampling, logprobs: bool, weight_version: int
) -> list[Generation]:
    """The generations of an answer, one per prompt.

    Raises:
        MalformedResponse: when completions are missing, without tokens or too long, ended for an unknown reason, or
            lack the log-probabilities that were asked for.
    """
    distinct = _distinct_completions(n, sampling)
    try:
        choices = sorted(answer["choices"], key=lambda choice: choice["index"])
        completions = [_completion(choice, sampling.max_tokens, logprobs) for choice in choices]
    except (KeyError, TypeError) as error:
        raise MalformedResponse(f"the answer lacks what was asked for ({error!r})") from error
    if len(completions) != distinct * len(prompts):
        raise MalformedResponse(f"expected {distinct * len(prompts)} completions, got {len(completions)}")
    groups = [completions[start : start + distinct] for start in range(0, len(completions), distinct)]
    return [
        Generation(prompt_ids, tuple(group) * (n // distinct), weight_version)
        for prompt_ids, group in zip(prompts, groups, strict=True)
    ]


def _distinct_completions(n: int, sampling: Sampling) -> int:
    return n if sampling.temperature > 0 else 1


def _completion(choice: dict[str, Any], max_tokens: int, logprobs: bool) -> Completion:
    token_ids = tuple(choice["token_ids"])
    if not 1 <= len(token_ids) <= max_tokens:
        raise MalformedResponse(f"expected 1 to {max_tokens} tokens, got {len(token_ids)}")
    if choice["finish_reason"] not in ("stop", "length"):
        raise MalformedResponse(f"expected finish_reason stop or length, got {choice['finish_reason']!r}")
    values = _finite_logprobs(choice, len(token_ids)) if logprobs else None
    return Completion(choice["text"], token_ids, values, choice["finish_reason"])


def _finite_logprobs(choice: dict[str, Any], count: int) -> tuple[float, ...]:
    values = tuple(choice["logprobs"]["token_logprobs"])
    if len(values) != count or not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise MalformedResponse(f"expected {count} finite log-probabilities, got {values}")
    return values
