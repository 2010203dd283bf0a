"""Talking to model servers: a pool of the endpoints of one role, which generates token ids from conversations."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import aiohttp

from trainers.concurrency.deadlines import REQUEST_S
from trainers.generation.chat_templates.rendering import ChatRenderer
from trainers.generation.retries import RetryPolicy, is_retryable
from trainers.generation.traffic import Traffic
from trainers.generation.types import Completion, Generation, GenerationError, Prompt, SampledCompletion, Sampling
from trainers.generation.vllm.admission import AdmissionQueue
from trainers.generation.vllm.completions import Completions, TokenIds, distinct_completions, request_body
from trainers.generation.vllm.endpoint import RESTARTED, Endpoint, ServersRestarted
from trainers.generation.vllm.prompt_logprobs import PromptLogprobs, scoring_body
from trainers.generation.vllm.returning import Returning
from trainers.serving.run_token import REFUSED, refusal, run_token
from trainers.serving.server_spec import ServerSpec

logger = logging.getLogger(__name__)

# vLLM closes idle connections after five seconds, unless we started it; one that is reused just then fails for nothing.
_KEEPALIVE_S = 3.0


class EndpointPool:
    """The servers of one model, as a `Generator` of the teaching protocol.

    One call of `generate` or `stream` is one HTTP request to the least loaded server. Belongs to one asyncio loop.

    Args:
        base_urls: addresses such as `http://127.0.0.1:8765`.
        model: the name under which the servers know the model.
        renderer: turns conversations into the model's token ids.
        max_model_len: context in tokens; asked of the first server when `None`.
        request_timeout_s: seconds that a streamed request may be silent, and a whole one of 6,000 tokens may take.
        max_concurrent_requests: completions in flight per server; requests beyond them wait their turn.
        retry: when failed requests are repeated.
        api_key: bearer token for servers that want one.
        returning: which servers come back when they end: requests wait for those.
        extra_body: further fields of every request, such as `{"ignore_eos": True}`.
        beside: another pool over the same servers, say with other template arguments. The two take turns together, so
            that a server has no more completions in flight than for one, and know how busy it is with both.
    """

    def __init__(
        self,
        base_urls: Sequence[str],
        model: str,
        renderer: ChatRenderer,
        *,
        max_model_len: int | None = None,
        request_timeout_s: float = REQUEST_S,
        max_concurrent_requests: int = 256,
        retry: RetryPolicy | None = None,
        api_key: str | None = None,
        returning: Returning | None = None,
        extra_body: Mapping[str, Any] | None = None,
        beside: EndpointPool | None = None,
    ) -> None:
        if not base_urls:
            raise ValueError(f"No server address for model {model}: a pool needs at least one.")
        own = tuple(Endpoint(url) for url in base_urls)
        self.endpoints: tuple[Endpoint, ...] = own if beside is None else beside.endpoints
        self.model = model
        self.traffic = Traffic()
        self.weight_version = 0
        self._renderer = renderer
        self._max_model_len = max_model_len
        self._timeout = aiohttp.ClientTimeout(total=request_timeout_s)
        limit = max_concurrent_requests * len(self.endpoints)
        self._turns: AdmissionQueue = AdmissionQueue(limit) if beside is None else beside._turns
        self._retry = retry or RetryPolicy()
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._returning = returning
        self._extra_body = dict(extra_body or {})
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def from_specs(
        cls, specs: Sequence[ServerSpec], *, chat_template_kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> EndpointPool:
        """Return the pool of servers of a run that all serve the same model; `options` are those of the constructor.

        The key is the token of the run.
        """
        models = sorted({spec.model for spec in specs})
        if len(models) != 1:
            raise ValueError(f"A pool serves one model, these servers have {len(models)}: {', '.join(models)}.")
        first = specs[0]
        options.setdefault("api_key", run_token())
        renderer = ChatRenderer(
            first.tokenizer, chat_template_kwargs, revision=first.revision, trust_remote_code=first.trust_remote_code
        )
        urls = [spec.base_url for spec in specs]
        return cls(urls, first.model, renderer, max_model_len=first.max_model_len, **options)

    def by_server(self) -> list[EndpointPool]:
        """Return views of this pool that ask one server each, and share its connections, turns and counts."""
        self._connect()
        views = []
        for endpoint in self.endpoints:
            view = copy(self)
            view.endpoints = (endpoint,)
            views.append(view)
        return views

    def ask_only(self, instances: Mapping[str, str]) -> None:
        """Ask each server only as long as it is of the start that stands under its address: that one has the weights.

        No request may be running.
        """
        for endpoint in self.endpoints:
            endpoint.ask_only(instances.get(endpoint.base_url))

    @property
    def busy_s(self) -> float:
        """Seconds during which a server had anything to do for this pool, on average over its servers."""
        return fmean(endpoint.busy_s for endpoint in self.endpoints)

    def render(self, prompt: Prompt) -> TokenIds:
        """Return the token ids that the model is prompted with."""
        return self._renderer.render(prompt)

    def spells_control(self, text: str) -> bool:
        """Return whether a text spells one of the model's control tokens, or a turn marker of its chat template."""
        return self._renderer.spells_control(text)

    async def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        n: int,
        sampling: Sampling,
        seed: int,
        logprobs: bool = False,
        priority: int = 0,
    ) -> list[Generation]:
        """Sample `n` completions of each prompt, all in one request.

        The prompts of one call share the seed, so that their samples are correlated (common random numbers): good for
        comparing teachings of one question. Samples that must be independent need calls with seeds of their own.

        Raises:
            GenerationError: with cause `context` when a prompt leaves no room for `max_tokens`, else when the request
                failed and its retries are spent.
            ServersRestarted: when no server has this pool's weights any more; see `ask_only`.
        """
        if not prompts:
            return []
        request, version = self._request(prompts, n, sampling, seed, logprobs), self.weight_version
        completions = {index: completion async for index, completion in self._sample(request, priority)}
        distinct = request.completions // len(prompts)
        return [
            Generation(ids, tuple(completions[first + member % distinct] for member in range(n)), version)
            for ids, first in zip(request.prompt_ids, range(0, request.completions, distinct), strict=True)
        ]

    async def stream(
        self,
        prompt: Prompt,
        *,
        n: int,
        sampling: Sampling,
        seed: int,
        logprobs: bool = False,
        priority: int = 0,
    ) -> AsyncGenerator[tuple[int, SampledCompletion]]:
        """Yield the `n` completions of `generate`, each with its number and as soon as it is complete.

        A stream that breaks is asked for again, with the same seed; what it had brought is kept.

        Raises:
            GenerationError: as `generate`, when not all completions could be had; some may have come before.
        """
        request, version = self._request([prompt], n, sampling, seed, logprobs, stream=True), self.weight_version
        async with aclosing(self._sample(request, priority)) as samples:
            async for index, completion in samples:
                for member in range(index, n, request.completions):
                    yield member, SampledCompletion(request.prompt_ids[0], completion, version)

    async def prompt_logprobs(self, sequences: Sequence[TokenIds], *, priority: int = 0) -> list[tuple[float, ...]]:
        """Return the log-probability of each token but the first of sequences, all in one request; nothing is sampled.

        They are of the model as it is, at temperature 1 and with nothing truncated.

        Raises:
            GenerationError: as `generate`; a sequence must leave room for one token.
            ServersRestarted: as `generate`.
        """
        if not sequences:
            return []
        body = scoring_body(self.model, sequences) | self._extra_body
        request = _Scoring(sequences, [], len(sequences), body["max_tokens"], False, body)
        found = {index: scored.logprobs or () async for index, scored in self._sample(request, priority)}
        return [found[index] for index in range(len(sequences))]

    async def aclose(self) -> None:
        """Close all connections; the pool opens new ones if it is used again."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _request(
        self,
        prompts: Sequence[Prompt],
        n: int,
        sampling: Sampling,
        seed: int,
        logprobs: bool,
        stream: bool = False,
    ) -> _Request:
        prompt_ids = [self.render(prompt) for prompt in prompts]
        body = request_body(
            self.model,
            prompt_ids,
            n=n,
            sampling=sampling,
            seed=seed,
            logprobs=logprobs,
            stream=stream,
            stop_token_ids=self._renderer.stop_token_ids,
        )
        opened = [self._renderer.opened(ids) for ids in prompt_ids]
        completions = len(prompts) * distinct_completions(n, sampling)
        return _Request(prompt_ids, opened, completions, sampling.max_tokens, logprobs, body | self._extra_body)

    async def _sample(self, request: _Request, priority: int) -> AsyncGenerator[tuple[int, Completion]]:
        """Yield every completion of a request once, with its index, in whatever order they end."""
        try:
            await self._check_lengths(request.prompt_ids, request.max_tokens)
            async with (
                self._turns.turn(request.completions, priority) as turn,
                aclosing(self._attempts(request)) as completions,
            ):
                async for index, completion in completions:
                    turn.done()
                    yield index, request.whole(index, completion)
        except GenerationError as error:
            self.traffic.failed(error)
            raise

    async def _attempts(self, request: _Request) -> AsyncGenerator[tuple[int, Completion]]:
        start, started = time.monotonic(), self._started()
        failed: list[Endpoint] = []
        seen: set[int] = set()
        # A server that has ended is told by what was asked first, and costs what follows no retries.
        known_to_be_silent = all(endpoint.is_silent for endpoint in self.endpoints)
        while True:
            if all(endpoint.outdated for endpoint in self.endpoints):
                raise ServersRestarted(f"{', '.join(each.base_url for each in self.endpoints)} was started anew")
            endpoint = self._choose(failed)
            expected = request.answer()
            self.traffic.requests += 1
            try:
                async with aclosing(endpoint.complete(self._connect(), request.body, expected)) as completions:
                    async for index, completion in completions:
                        if index not in seen:
                            seen.add(index)
                            self.traffic.generated_tokens += len(completion.token_ids)
                            yield index, completion
                self.traffic.prompt_tokens += sum(map(len, request.prompt_ids))
                if endpoint.works():
                    logger.warning("%s answers again", endpoint.base_url)
                return
            except GenerationError as error:
                if error.cause == RESTARTED:
                    continue
                failed.append(endpoint)
                delay = self._retry.delay_s(len(failed), time.monotonic() - start, error.cause)
                if delay is None or (known_to_be_silent and error.cause == "connection"):
                    if not is_retryable(error.cause) or not await self._came_back(started):
                        raise
                    start, started, delay = time.monotonic(), self._started(), 0.0
                    failed, known_to_be_silent = [], False
                # A server that died fails every request there is, each several times.
                if endpoint.fails(error.cause):
                    logger.warning("%s; its requests have %d attempts each", error, self._retry.attempts)
                self.traffic.retries += 1
            await asyncio.sleep(delay)

    def _started(self) -> Mapping[str, int]:
        """Return how often each server that is of use had been restarted by now."""
        return self._returning.records.seen(self._of_use()) if self._returning is not None else {}

    async def _came_back(self, started: Mapping[str, int]) -> bool:
        """Wait for a server that was restarted since, where there will be one."""
        return self._returning is not None and await self._returning.wait(self._connect(), self._of_use(), started)

    def _of_use(self) -> list[str]:
        return [endpoint.base_url for endpoint in self.endpoints if not endpoint.outdated]

    def _choose(self, failed: Sequence[Endpoint]) -> Endpoint:
        return min(
            self.endpoints,
            key=lambda endpoint: (endpoint.outdated, failed.count(endpoint), endpoint.is_silent, endpoint.load),
        )

    async def _check_lengths(self, prompt_ids: Sequence[TokenIds], max_tokens: int) -> None:
        context = await self._context_length()
        longest = max(len(ids) for ids in prompt_ids)
        if longest + max_tokens > context:
            room = f"A prompt of {longest} tokens and {max_tokens} tokens to generate do not fit into the context of"
            raise GenerationError(
                f"{room} {context} tokens of {self.model}; raise the role's max_model_len or shorten the question",
                "context",
                told=f"{room} {context} tokens; shorten the question or generate fewer tokens",
            )

    async def _context_length(self) -> int:
        while self._max_model_len is None:
            started = self._started()
            try:
                self._max_model_len = await self._served_context()
            except GenerationError:
                if not await self._came_back(started):
                    raise
        return self._max_model_len

    async def _served_context(self) -> int:
        url = f"{self.endpoints[0].base_url}/v1/models"
        try:
            async with self._connect().get(url) as response:
                if response.status == REFUSED:
                    raise GenerationError(refusal(self.endpoints[0].base_url), f"http_{REFUSED}")
                models = (await response.json())["data"]
            return next(int(model["max_model_len"]) for model in models if model["id"] == self.model)
        except (aiohttp.ClientError, TimeoutError, KeyError, ValueError, TypeError, StopIteration) as error:
            raise GenerationError(f"{url} does not tell the context of {self.model} ({error!r})", "models") from error

    def _connect(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, headers=self._headers)
        return self._session


@dataclass(frozen=True)
class _Request:
    prompt_ids: Sequence[TokenIds]
    opened: Sequence[str]
    completions: int
    max_tokens: int
    logprobs: bool
    body: Mapping[str, Any]

    def whole(self, index: int, completion: Completion) -> Completion:
        """Return a completion with the beginning of its reasoning, where the prompt has that."""
        opened = self.opened[index * len(self.opened) // self.completions]
        return replace(completion, text=opened + completion.text) if opened else completion

    def answer(self) -> Completions | PromptLogprobs:
        """Return what reads the answer."""
        return Completions(self.completions, self.max_tokens, self.logprobs)


class _Scoring(_Request):
    """A request about token ids that are there already."""

    def whole(self, index: int, completion: Completion) -> Completion:
        """Return what was read as it is."""
        return completion

    def answer(self) -> PromptLogprobs:
        """Return what reads the answer."""
        return PromptLogprobs(self.prompt_ids)
