"""Greedy answers of servers, token by token: the only proof that they compute with the weights they were sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from trainers.serving.completions import Completions, MalformedResponse, TokenIds, request_body
from trainers.serving.control import WeightSyncError
from trainers.teaching.lesson import Sampling


@dataclass(frozen=True)
class GreedySample:
    """A prompt, the tokens that one server continues it with, and their log-probabilities there."""

    server: str
    prompt: TokenIds
    tokens: TokenIds
    logprobs: tuple[float, ...]


def greedy_samples(
    base_urls: Sequence[str], model: str, prompts: Sequence[TokenIds], *, max_tokens: int, timeout_s: float
) -> list[GreedySample]:
    """Ask every server to continue every prompt greedily, by at most so many tokens.

    Raises:
        WeightSyncError: when a server does not answer, or answers what was not asked for.
    """
    # Loopback and cluster addresses: no proxy of the user's environment may stand between.
    with httpx.Client(timeout=timeout_s, trust_env=False) as client:
        return [sample for url in base_urls for sample in _samples(client, url, model, prompts, max_tokens)]


def _samples(
    client: httpx.Client, url: str, model: str, prompts: Sequence[TokenIds], max_tokens: int
) -> list[GreedySample]:
    sampling = Sampling(max_tokens=max_tokens, temperature=0)
    body = request_body(model, prompts, n=1, sampling=sampling, seed=0, logprobs=True)
    try:
        answer = client.post(f"{url}/v1/completions", json=body)
        answer.raise_for_status()
        found = dict(Completions(len(prompts), max_tokens, logprobs=True).feed(answer.content))
    except (httpx.HTTPError, MalformedResponse) as error:
        raise WeightSyncError(
            f"{url} did not complete the prompts that its weights are verified with ({error!r}); see the server's log"
        ) from error
    samples = []
    for index, prompt in enumerate(prompts):
        completion = found[index]
        assert completion.logprobs is not None
        samples.append(GreedySample(url, prompt, completion.token_ids, completion.logprobs))
    return samples
