"""A model behind a foreign OpenAI-compatible chat API, as a `Generator` of the teaching protocol."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from trainers.concurrency.deadlines import REQUEST_S, whole_answer_s
from trainers.generation.api.loopback import is_loopback
from trainers.generation.api.rate_limits import RateLimits
from trainers.generation.api.relayed import RelayedChat, RelayedChunks, read_choices
from trainers.generation.api.streamed_answer import StreamedAnswer, never_silent
from trainers.generation.api.usage import Account, prices_of
from trainers.generation.api.wire import (
    Answer,
    Dialect,
    chat_request,
    prompt_bound,
    prompt_estimate,
    read_answer,
    refused_parameter,
    sample_seed,
    tokens_charged,
)
from trainers.generation.retries import RetryPolicy, retry_after
from trainers.generation.traffic import Traffic
from trainers.generation.types import Completion, Generation, GenerationError, MalformedResponse, Prompt, Sampling

if TYPE_CHECKING:
    from openai import APIConnectionError, APIStatusError, AsyncOpenAI

T = TypeVar("T")
logger = logging.getLogger(__name__)

PATIENT = RetryPolicy(attempts=8, first_delay_s=0.5, max_delay_s=30.0, budget_s=900.0)
"""Foreign APIs are busy more often than our own servers, and pass."""

_ERROR_EXCERPT = 300
_OWN_WORDS = 4000
"""Most characters of what an API says about a request: clients look for numbers and names at their ends."""
_ABOUT_THE_REQUEST = (400, 413, 422)
"""Statuses by which an API says what is wrong with a request; the others are between it and the owner of the key."""
_NEVER_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout")
"""Names that HTTP libraries have for failures before a request is sent."""


@dataclass(frozen=True)
class ApiSettings:
    """Where an API model is, and what may be asked of it.

    Args:
        base_url: address up to and including `/v1`.
        model: the name under which the API knows the model.
        api_key_env: environment variable that holds the key; `None` for an API that wants none.
        requests_per_minute: requests within any sixty seconds, if limited.
        tokens_per_minute: prompt and generated tokens together, likewise.
        spending_cap: US dollars that may be spent over all parts of a run.
        price_per_million_tokens: US dollars by `prompt` and `completion`.
        extra_body: fields added to every request, such as `{"reasoning_effort": "low"}`.
    """

    base_url: str
    model: str
    api_key_env: str | None = "OPENAI_API_KEY"
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    spending_cap: float | None = None
    price_per_million_tokens: Mapping[str, float] | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)


class ApiFailure(GenerationError):
    """A request that failed.

    `retry_after_s` is how long the API asks to wait, if it does; `charged` whether the API may have done work for it;
    `parameter` what of the request it did not take, if it says so.
    """

    def __init__(
        self,
        message: str,
        cause: str,
        retry_after_s: float | None = None,
        *,
        charged: bool = True,
        parameter: str | None = None,
        told: str | None = None,
    ) -> None:
        super().__init__(message, cause, told=told)
        self.retry_after_s = retry_after_s
        self.charged = charged
        self.parameter = parameter


class ApiModel:
    """Asks a chat API; every completion is a request of its own, with a seed of its own.

    Completions have no token ids and no log-probabilities: their lengths are what the API charges for. Belongs to one
    asyncio loop.

    Args:
        settings: where the model is, and its limits.
        name: what it is called in the record of usage: `student`, or a teacher's name.
        usage_file: where usage is kept; without one the cap holds for this object only.
        request_timeout_s: seconds that a streamed request may be silent, and a whole one of 6,000 tokens may take.
        max_concurrent_requests: requests in flight; the others wait their turn.
        retry: when failed requests are repeated; `Retry-After` is waited for instead of its delays.

    Raises:
        ValueError: when the address is none, the environment lacks the key, or there is a cap without prices.
    """

    def __init__(
        self,
        settings: ApiSettings,
        *,
        name: str = "student",
        usage_file: Path | None = None,
        request_timeout_s: float = REQUEST_S,
        max_concurrent_requests: int = 256,
        retry: RetryPolicy = PATIENT,
    ) -> None:
        _check_address(settings.base_url)
        self.settings = settings
        self.traffic = Traffic()
        self.account = Account(name, prices_of(settings.price_per_million_tokens), settings.spending_cap, usage_file)
        self._key = _key(settings)
        self._limits = RateLimits(settings.requests_per_minute, settings.tokens_per_minute)
        self._timeout_s = request_timeout_s
        self._slots = asyncio.Semaphore(max_concurrent_requests)
        self._retry = retry
        self._dialect = Dialect()
        self._client: AsyncOpenAI | None = None

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
        """Sample `n` completions of each prompt, all at once; greedy decoding is asked for once.

        `logprobs` and `priority` have no effect. Sample i of every prompt has the same seed.

        Raises:
            GenerationError: when a request failed and its retries are spent.
        """
        # An API that takes no temperature samples, whatever was asked for.
        distinct = n if sampling.temperature > 0 or "temperature" in self._dialect.dropped else 1
        requests = [
            self._complete(prompt, sampling, sample_seed(seed, i)) for prompt in prompts for i in range(distinct)
        ]
        # What was asked for is paid for: the others are waited for when one fails, so that their cost is known.
        answers = await asyncio.gather(*requests, return_exceptions=True)
        for failure in answers:
            if isinstance(failure, GenerationError):
                self.traffic.failed(failure)
            if isinstance(failure, BaseException):
                raise failure
        got = [answer for answer in answers if isinstance(answer, Answer)]
        rows = (got[start : start + distinct] for start in range(0, len(got), distinct))
        return [_generation(row, n // distinct) for row in rows]

    def metrics(self) -> dict[str, float]:
        """Return the totals of this model's usage, over all parts of the run."""
        usage = self.account.usage
        return {
            "requests": float(usage.requests),
            "prompt_tokens": float(usage.prompt_tokens),
            "completion_tokens": float(usage.completion_tokens),
            "cost_usd": usage.cost_usd,
        }

    async def stream_text(self, prompt: Prompt, *, sampling: Sampling, seed: int) -> AsyncGenerator[str | Completion]:
        """Yield the pieces of a completion as the API sends them, reasoning left out, and at last the completion.

        A stream is tried again until its first piece; one that breaks off afterwards is not.

        Raises:
            GenerationError: when the API does not answer, or breaks off.
        """
        async with aclosing(self._retried_stream(lambda: self._stream(prompt, sampling, seed))) as pieces:
            async for piece in pieces:
                yield piece

    async def relay(self, chat: RelayedChat) -> dict[str, Any]:
        """Pass a chat request on as its client wrote it, within the limits and on the account.

        Raises:
            GenerationError: when it is not answered; where the API refuses it, `told` has the API's words.
        """

        async def whole(request: dict[str, Any]) -> dict[str, Any]:
            raw = await self._connect().chat.completions.with_raw_response.create(**chat.request(request))
            return read_choices(json.loads(raw.http_response.text))

        async def attempt() -> dict[str, Any]:
            async with self._payment(chat.prompt, chat.budget) as payment:
                answer = await self._in_dialect(whole, chat.prompt, chat.sampling, chat.seed)
                payment.used(*chat.charged(answer))
                return answer

        return await self._retried(attempt)

    async def relay_stream(self, chat: RelayedChat) -> AsyncGenerator[dict[str, Any]]:
        """Pass a chat request on, and yield the chunks of its answer as they come, reasoning left out.

        Raises:
            GenerationError: when it is not answered, or the answer breaks off.
        """
        async with aclosing(self._retried_stream(lambda: self._relayed_chunks(chat))) as chunks:
            async for chunk in chunks:
                yield chunk

    async def aclose(self) -> None:
        """Write the record of usage and close all connections; new ones are opened if the model is used again."""
        self.account.save()
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _complete(self, prompt: Prompt, sampling: Sampling, seed: int) -> Answer:
        return await self._retried(lambda: self._paid(prompt, sampling, seed))

    async def _retried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        async with self._slots:
            start, failures = time.monotonic(), 0
            while True:
                try:
                    return await attempt()
                except ApiFailure as failure:
                    failures += 1
                    await self._before_retry(failure, failures, start)

    async def _retried_stream(self, attempt: Callable[[], AsyncGenerator[T]]) -> AsyncGenerator[T]:
        async with self._slots:
            start, failures, begun = time.monotonic(), 0, False
            while True:
                try:
                    async with aclosing(attempt()) as pieces:
                        async for piece in pieces:
                            begun = True
                            yield piece
                    return
                except ApiFailure as failure:
                    failures += 1
                    if begun:
                        raise
                    await self._before_retry(failure, failures, start)

    async def _before_retry(self, failure: ApiFailure, failures: int, start: float) -> None:
        """Wait until the next attempt; raises the failure when there is none."""
        delay = self._delay_s(failures, time.monotonic() - start, failure)
        if delay is None:
            raise failure
        logger.info("%s; attempt %d follows in %.1f s", failure, failures + 1, delay)
        self.traffic.retries += 1
        if failure.retry_after_s is not None:
            self._limits.pause(failure.retry_after_s)
        await asyncio.sleep(delay)

    def _delay_s(self, failures: int, elapsed_s: float, failure: ApiFailure) -> float | None:
        """Return the seconds until the next attempt; `None` gives up.

        They are a growing backoff with jitter, and at least what the API asks for.
        """
        backoff = self._retry.delay_s(failures, elapsed_s, failure.cause)
        asked = failure.retry_after_s or 0.0
        if backoff is None or elapsed_s + asked > self._retry.budget_s:
            return None
        return max(asked, backoff * random.uniform(0.5, 1.0))

    async def _paid(self, prompt: Prompt, sampling: Sampling, seed: int) -> Answer:
        """Make one attempt, within the limits and on the account."""
        async with self._payment(prompt, sampling) as payment:
            answer = await self._ask(prompt, sampling, seed)
            payment.used(answer.prompt_tokens, answer.completion.tokens)
            return answer

    @asynccontextmanager
    async def _payment(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[_Payment]:
        """Room for one request, and its charge: what it used, nothing when refused, else the most it may cost."""
        expected = prompt_estimate(prompt)
        reserved = await self.account.reserve(prompt_bound(prompt), sampling.max_tokens)
        payment = _Payment()
        try:
            entry = await self._limits.admit(expected + sampling.max_tokens)
        except BaseException:
            self.account.settle_refused(reserved)
            raise
        self.traffic.requests += 1
        try:
            yield payment
        except ApiFailure as failure:
            payment.refused = not failure.charged
            raise
        finally:
            if payment.tokens is not None:
                prompt_tokens, completion_tokens = payment.tokens
                self.account.settle(reserved, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
                self.traffic.prompt_tokens += prompt_tokens
                self.traffic.generated_tokens += completion_tokens
                entry.amount = prompt_tokens + completion_tokens
            elif payment.refused:
                self.account.settle_refused(reserved)
                entry.amount = expected
            else:
                self.account.settle_unanswered(reserved)

    async def _stream(self, prompt: Prompt, sampling: Sampling, seed: int) -> AsyncGenerator[str | Completion]:
        """Make one attempt, within the limits and on the account, at a completion in pieces."""
        streamed = StreamedAnswer(prompt)
        async with self._payment(prompt, sampling) as payment:
            with self._failures():
                async with await self._open(prompt, sampling, seed) as stream:
                    async for chunk in never_silent(stream, self._timeout_s):
                        if piece := streamed.feed(chunk):
                            yield piece
                if piece := streamed.end():
                    yield piece
                answer = streamed.answer()
            payment.used(answer.prompt_tokens, answer.completion.tokens)
        yield answer.completion

    async def _relayed_chunks(self, chat: RelayedChat) -> AsyncGenerator[dict[str, Any]]:
        """Make one attempt, within the limits and on the account, at the chunks of an answer."""
        relayed = RelayedChunks()
        async with self._payment(chat.prompt, chat.budget) as payment:
            with self._failures():
                async with await self._open(chat.prompt, chat.sampling, chat.seed, chat.request) as stream:
                    async for chunk in never_silent(stream, self._timeout_s):
                        if shown := relayed.feed(chunk.to_dict()):
                            yield shown
                relayed.check_whole()
            payment.used(*tokens_charged(relayed.usage, chat.prompt, relayed.text))

    async def _ask(self, prompt: Prompt, sampling: Sampling, seed: int) -> Answer:
        async def whole(request: dict[str, Any]) -> Answer:
            raw = await self._connect().chat.completions.with_raw_response.create(**request)
            return read_answer(json.loads(raw.http_response.text), prompt)

        return await self._in_dialect(whole, prompt, sampling, seed)

    async def _open(
        self,
        prompt: Prompt,
        sampling: Sampling,
        seed: int,
        changed: Callable[[Mapping[str, Any]], dict[str, Any]] = dict,
    ) -> Any:
        options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}

        async def opened(request: dict[str, Any]) -> Any:
            return await self._connect().chat.completions.create(**changed(request), **options)

        return await self._in_dialect(opened, prompt, sampling, seed)

    async def _in_dialect(
        self, ask: Callable[[dict[str, Any]], Awaitable[T]], prompt: Prompt, sampling: Sampling, seed: int
    ) -> T:
        """Send one request, or several until the API takes all parameters that can be done without."""
        model, extra_body = self.settings.model, self.settings.extra_body
        while True:
            dialect = self._dialect
            request = chat_request(model, prompt, sampling, seed, dialect=dialect, extra_body=extra_body)
            try:
                with self._failures():
                    async with asyncio.timeout(whole_answer_s(self._timeout_s, sampling.max_tokens)):
                        return await ask(request)
            except ApiFailure as failure:
                if not self._adapt(failure, dialect):
                    raise

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turns whatever can go wrong with a request into an `ApiFailure` with its cause."""
        import openai

        url = self.settings.base_url
        try:
            yield
        except openai.APIStatusError as error:
            # Without its cause, whose own message quotes the API unabridged.
            raise self._refusal(error) from None
        except (TimeoutError, openai.APITimeoutError) as error:
            remedy = "raise request_timeout_s or generate fewer tokens at a time"
            message = f"{url} did not answer within {self._timeout_s:g} s; {remedy}"
            raise ApiFailure(message, "timeout", charged=_was_sent(error)) from error
        except openai.APIConnectionError as error:
            reason = self._shown(repr(error.__cause__ or error))
            raise ApiFailure(f"{url} cannot be reached ({reason})", "connection", charged=_was_sent(error)) from error
        except openai.APIError as error:
            raise ApiFailure(f"{url} broke off its answer ({self._shown(str(error))})", "connection") from None
        except (MalformedResponse, ValueError) as error:
            raise ApiFailure(f"{url} answered with garbage ({self._shown(str(error))})", "garbage") from None

    def _adapt(self, failure: ApiFailure, used: Dialect) -> bool:
        """Move to a dialect without the parameter that the API refused; return `False` when there is none."""
        dialect = used.without(failure.parameter) if failure.parameter else None
        if dialect is None:
            return False
        if self._dialect == used:
            where, model = self.settings.base_url, self.settings.model
            logger.warning("%s takes no %s for %s: going on without it", where, failure.parameter, model)
            self._dialect = dialect
        return True

    def _refusal(self, error: APIStatusError) -> ApiFailure:
        text = self._shown(error.response.text)
        return ApiFailure(
            f"{self.settings.base_url} answered {error.status_code}: {text}",
            _cause(error.status_code, f"{error.code} {text}"),
            retry_after(error.response.headers),
            charged=False,
            parameter=refused_parameter(error.param, error.response.text) if error.status_code in (400, 422) else None,
            told=self._words(error) if error.status_code in _ABOUT_THE_REQUEST else None,
        )

    def _words(self, error: APIStatusError) -> str | None:
        """Return the API's own message about a request."""
        said = error.body.get("message") if isinstance(error.body, dict) else None
        return self._shown(said, _OWN_WORDS) if isinstance(said, str) else None

    def _shown(self, text: str, at_most: int = _ERROR_EXCERPT) -> str:
        """Return an excerpt of what an API says, without the key."""
        return (text.replace(self._key, "…") if self._key else text)[:at_most]

    def _connect(self) -> AsyncOpenAI:
        if self._client is None:
            # Loading the client takes a second, which a program that only plans need not spend.
            from openai import AsyncOpenAI, DefaultAsyncHttpxClient

            here = is_loopback(urlsplit(self.settings.base_url).hostname)
            self._client = AsyncOpenAI(
                api_key=self._key or "none",
                base_url=self.settings.base_url,
                max_retries=0,
                # Deadlines are ours: of silence for a stream, by length for an answer that comes whole.
                timeout=None,
                # A proxy of the environment is the way to other hosts, and knows nothing of this one's loopback.
                http_client=DefaultAsyncHttpxClient(trust_env=not here),
            )
        return self._client


@dataclass
class _Payment:
    """The charge of a request as far as it is known: the tokens of prompt and completion, or that it was refused."""

    tokens: tuple[int, int] | None = None
    refused: bool = False

    def used(self, prompt_tokens: int, completion_tokens: int) -> None:
        self.tokens = (prompt_tokens, completion_tokens)


def _was_sent(error: TimeoutError | APIConnectionError) -> bool:
    """Return whether a request that failed may have reached the API."""
    return type(error.__cause__).__name__ not in _NEVER_SENT


def _cause(status: int, text: str) -> str:
    if status == 400 and ("context_length" in text or "context length" in text or "max_model_len" in text):
        return "context"
    return "quota" if "insufficient_quota" in text else f"http_{status}"


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise ValueError(f"The address of {parts.hostname} holds a password, which messages would show: use a key")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not the address of an API: write http(s)://host[:port]/v1")


def _key(settings: ApiSettings) -> str | None:
    if settings.api_key_env is None:
        return None
    key = os.environ.get(settings.api_key_env)
    if not key:
        raise ValueError(
            f"{settings.base_url} needs a key, and {settings.api_key_env} is not set in the environment; "
            f"export {settings.api_key_env}=…, or set the name to null for an API that wants none"
        )
    return key


def _generation(answers: Sequence[Answer], copies: int) -> Generation:
    """Return the generation of one prompt, which every sample was charged for anew."""
    completions = tuple(answer.completion for answer in answers) * copies
    return Generation((), completions, reported_prompt_tokens=sum(answer.prompt_tokens for answer in answers))
