"""Talking to model servers: a pool of the endpoints of one role, which generates token ids from conversations."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from trainers.serving.completions import MalformedResponse, TokenIds, parse_generations, request_body
from trainers.serving.rendering import ChatRenderer
from trainers.serving.retries import RetryPolicy
from trainers.serving.specs import ServerSpec
from trainers.teaching.lesson import Generation, GenerationError, Prompt, Sampling

logger = logging.getLogger(__name__)

# vLLM closes idle connections after five seconds; one that is reused just then fails for nothing.
_KEEPALIVE_S = 3.0
_ERROR_EXCERPT = 300


@dataclass
class Traffic:
    """What a pool has done so far: counts that only grow. `failures` are requests that failed for good, by cause."""

    requests: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    retries: int = 0
    failures: Counter[str] = field(default_factory=Counter)


class Endpoint:
    """One server address and how many completions it is working on."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self.load = 0

    async def complete(self, session: aiohttp.ClientSession, body: dict[str, Any]) -> Any:
        """Send one completion request and return its JSON.

        Raises:
            GenerationError: for any failure, labelled with its cause; nothing is retried here.
        """
        weight = len(body["prompt"]) * body["n"]
        self.load += weight
        try:
            async with session.post(f"{self.base_url}/v1/completions", json=body) as response:
                text = await response.text()
                if response.status != 200:
                    raise self._refusal(response.status, text)
                return json.loads(text)
        except TimeoutError as error:
            raise GenerationError(
                f"{self.base_url} did not answer within {session.timeout.total:g} s; "
                "raise request_timeout_s or generate fewer tokens at a time",
                "timeout",
            ) from error
        except aiohttp.ClientError as error:
            raise GenerationError(
                f"{self.base_url} cannot be reached ({error!r}); see the log of the server", "connection"
            ) from error
        except ValueError as error:
            raise GenerationError(f"{self.base_url} did not answer with JSON ({error})", "garbage") from error
        finally:
            self.load -= weight

    def _refusal(self, status: int, text: str) -> GenerationError:
        too_long = status == 400 and ("context length" in text or "max_model_len" in text)
        cause = "context" if too_long else f"http_{status}"
        return GenerationError(f"{self.base_url} answered {status}: {text[:_ERROR_EXCERPT]}", cause)


class EndpointPool:
    """The servers of one model, as a `Generator` of the teaching protocol.

    One call of `generate` is one HTTP request to the least loaded server. Belongs to one asyncio loop.

    Args:
        base_urls: addresses such as `http://127.0.0.1:8765`.
        model: the name under which the servers know the model.
        renderer: turns conversations into the model's token ids.
        max_model_len: context in tokens; asked of the first server when `None`.
        request_timeout_s: deadline of a single request in seconds.
        max_concurrent_requests: requests in flight over all servers; the others wait their turn.
        retry: when failed requests are repeated.
        api_key: bearer token for servers that want one.
        extra_body: further fields of every request, such as `{"ignore_eos": True}`.
    """

    def __init__(
        self,
        base_urls: Sequence[str],
        model: str,
        renderer: ChatRenderer,
        *,
        max_model_len: int | None = None,
        request_timeout_s: float = 300.0,
        max_concurrent_requests: int = 256,
        retry: RetryPolicy | None = None,
        api_key: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        if not base_urls:
            raise ValueError(f"No server address for model {model}: a pool needs at least one.")
        self.endpoints = tuple(Endpoint(url) for url in base_urls)
        self.model = model
        self.traffic = Traffic()
        self.weight_version = 0
        self._renderer = renderer
        self._max_model_len = max_model_len
        self._timeout = aiohttp.ClientTimeout(total=request_timeout_s)
        self._slots = asyncio.Semaphore(max_concurrent_requests)
        self._retry = retry or RetryPolicy()
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._extra_body = dict(extra_body or {})
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def from_specs(
        cls, specs: Sequence[ServerSpec], *, chat_template_kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> EndpointPool:
        """The pool of servers that all serve the same model; `options` are those of the constructor."""
        models = sorted({spec.model for spec in specs})
        if len(models) != 1:
            raise ValueError(f"A pool serves one model, these servers have {len(models)}: {', '.join(models)}.")
        first = specs[0]
        renderer = ChatRenderer(
            first.tokenizer, chat_template_kwargs, revision=first.revision, trust_remote_code=first.trust_remote_code
        )
        urls = [spec.base_url for spec in specs]
        return cls(urls, first.model, renderer, max_model_len=first.max_model_len, **options)

    def render(self, prompt: Prompt) -> TokenIds:
        """Token ids that the model is prompted with."""
        return self._renderer.render(prompt)

    async def generate(
        self, prompts: Sequence[Prompt], *, n: int, sampling: Sampling, seed: int, logprobs: bool = False
    ) -> list[Generation]:
        """Sample `n` completions of each prompt, all in one request.

        The prompts of one call share the seed, so that their samples are correlated (common random numbers): good for
        comparing teachings of one question. Samples that must be independent need calls with seeds of their own.

        Raises:
            GenerationError: with cause `context` when a prompt leaves no room for `max_tokens`, else when the request
                failed and its retries are spent.
        """
        if not prompts:
            return []
        prompt_ids = [self.render(prompt) for prompt in prompts]
        try:
            await self._check_lengths(prompt_ids, sampling.max_tokens)
            body = request_body(self.model, prompt_ids, n=n, sampling=sampling, seed=seed, logprobs=logprobs)
            body |= self._extra_body
            async with self._slots:
                return await self._generate(body, prompt_ids, n=n, sampling=sampling, logprobs=logprobs)
        except GenerationError as error:
            self.traffic.failures[error.cause] += 1
            raise

    async def aclose(self) -> None:
        """Close all connections; the pool opens new ones if it is used again."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _generate(
        self, body: dict[str, Any], prompt_ids: list[TokenIds], *, n: int, sampling: Sampling, logprobs: bool
    ) -> list[Generation]:
        start = time.monotonic()
        failed: list[Endpoint] = []
        while True:
            endpoint = self._choose(failed)
            version = self.weight_version
            try:
                self.traffic.requests += 1
                answer = await endpoint.complete(self._connect(), body)
                generations = parse_generations(
                    answer, prompt_ids, n=n, sampling=sampling, logprobs=logprobs, weight_version=version
                )
            except (GenerationError, MalformedResponse) as failure:
                error = _as_generation_error(failure, endpoint)
                failed.append(endpoint)
                delay = self._retry.delay_s(len(failed), time.monotonic() - start, error.cause)
                if delay is None:
                    raise error from failure
                logger.warning("%s; attempt %d follows in %.1f s", error, len(failed) + 1, delay)
                self.traffic.retries += 1
                await asyncio.sleep(delay)
            else:
                self._count(generations)
                return generations

    def _choose(self, failed: Sequence[Endpoint]) -> Endpoint:
        return min(self.endpoints, key=lambda endpoint: (failed.count(endpoint), endpoint.load))

    def _count(self, generations: Sequence[Generation]) -> None:
        self.traffic.prompt_tokens += sum(len(generation.prompt_ids) for generation in generations)
        self.traffic.generated_tokens += sum(
            len(completion.token_ids) for generation in generations for completion in generation.completions
        )

    async def _check_lengths(self, prompt_ids: Sequence[TokenIds], max_tokens: int) -> None:
        context = await self._context_length()
        longest = max(len(ids) for ids in prompt_ids)
        if longest + max_tokens > context:
            raise GenerationError(
                f"A prompt of {longest} tokens and {max_tokens} tokens to generate do not fit into the context of "
                f"{context} tokens of {self.model}; raise the role's max_model_len or shorten the question",
                "context",
            )

    async def _context_length(self) -> int:
        if self._max_model_len is None:
            url = f"{self.endpoints[0].base_url}/v1/models"
            try:
                async with self._connect().get(url) as response:
                    models = (await response.json())["data"]
                self._max_model_len = next(model["max_model_len"] for model in models if model["id"] == self.model)
            except (aiohttp.ClientError, TimeoutError, KeyError, ValueError, StopIteration) as error:
                raise GenerationError(
                    f"{url} does not tell the context of {self.model} ({error!r})", "models"
                ) from error
        return self._max_model_len

    def _connect(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, headers=self._headers)
        return self._session


def _as_generation_error(failure: GenerationError | MalformedResponse, endpoint: Endpoint) -> GenerationError:
    if isinstance(failure, GenerationError):
        return failure
    return GenerationError(f"{endpoint.base_url}: {failure}", "garbage")
