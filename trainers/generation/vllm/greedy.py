"""Greedy continuations of every server, token by token: the proof that it computes with the weights it was sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainers.generation.types import Prompt, Sampling
from trainers.generation.vllm.completions import TokenIds
from trainers.generation.vllm.endpoint_pool import EndpointPool


@dataclass(frozen=True)
class GreedySample:
    """A prompt, the tokens that one server continues it with, and their log-probabilities there."""

    server: str
    prompt: TokenIds
    tokens: TokenIds
    logprobs: tuple[float, ...]


async def greedy_samples(pool: EndpointPool, prompts: Sequence[Prompt], max_tokens: int) -> list[GreedySample]:
    """Let every server of a pool continue every prompt greedily, by at most so many tokens.

    Raises:
        GenerationError: when a server does not answer, after its retries.
    """
    sampling, samples = Sampling(max_tokens=max_tokens, temperature=0), list[GreedySample]()
    for server in pool.by_server():
        for generation in await server.generate(prompts, n=1, sampling=sampling, seed=0, logprobs=True):
            [completion] = generation.completions
            assert completion.logprobs is not None
            url = server.endpoints[0].base_url
            samples.append(GreedySample(url, generation.prompt_ids, completion.token_ids, completion.logprobs))
    return samples
