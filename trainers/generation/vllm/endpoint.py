"""One server address: completion requests over HTTP, and how busy it is with them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import aiohttp
import msgspec

from trainers.concurrency.deadlines import REQUEST_S, whole_answer_s
from trainers.generation.types import Completion, GenerationError, MalformedResponse
from trainers.generation.vllm.completions import Completions, EventStream
from trainers.generation.vllm.prompt_logprobs import PromptLogprobs
from trainers.serving.instances import INSTANCE, OTHER_INSTANCE
from trainers.serving.run_token import REFUSED, refusal

_ERROR_EXCERPT = 300
SILENT_S = 60.0
"""Seconds for which an address that refused a connection is asked last, and once only."""
RESTARTED = "restarted"
"""The cause of a request that was meant for an earlier start of its server."""
_JSON = {"Content-Type": "application/json"}


class ServersRestarted(RuntimeError):
    """Every server of a model was started anew, with the weights of its start: none is asked until it has others."""


def deadline(body: Mapping[str, Any], timeout_s: float) -> aiohttp.ClientTimeout:
    """Return how long a request may take: a stream may be silent for so long, a whole answer grows with its length."""
    if body.get("stream"):
        return aiohttp.ClientTimeout(sock_connect=timeout_s, sock_read=timeout_s)
    return aiohttp.ClientTimeout(total=whole_answer_s(timeout_s, body["max_tokens"]))


def _silence(limit: aiohttp.ClientTimeout) -> str:
    return f"did not answer within {limit.total:g} s" if limit.total else f"was silent for {limit.sock_read:g} s"


class Endpoint:
    """One server address. `load` is the number of completions it is working on for us.

    Where `instance` is set, only that start of the server is asked; once another one answers there, it is `outdated`.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self.load = 0
        self.instance: str | None = None
        self.outdated = False
        self._busy_s = 0.0
        self._busy_since = 0.0
        self._silent_until = 0.0
        self._failing: set[str] = set()

    def ask_only(self, instance: str | None) -> None:
        """Ask one start of the server from now on; any, for `None`."""
        self.instance, self.outdated = instance, False

    def fails(self, cause: str) -> bool:
        """Note a failed request; return whether its cause is news, since the server last answered."""
        news = cause not in self._failing
        self._failing.add(cause)
        return news

    def works(self) -> bool:
        """Note an answered request; return whether that is news, after some that failed."""
        news = bool(self._failing)
        self._failing.clear()
        return news

    @property
    def busy_s(self) -> float:
        """Seconds during which it has had anything to do for us."""
        return self._busy_s + (time.monotonic() - self._busy_since if self.load else 0.0)

    @property
    def is_silent(self) -> bool:
        """True while nothing has listened there for a short while: others are asked first."""
        return time.monotonic() < self._silent_until

    async def complete(
        self, session: aiohttp.ClientSession, body: Mapping[str, Any], completions: Completions | PromptLogprobs
    ) -> AsyncGenerator[tuple[int, Completion]]:
        """Send one completion request; every completion, with its index, as soon as the server tells it.

        Raises:
            GenerationError: for any failure, labelled with its cause; nothing is retried here.
        """
        running = completions.missing
        self._add_load(running)
        try:
            async with aclosing(self._documents(session, body)) as documents:
                async for document in documents:
                    for index, completion in completions.feed(document):
                        self._add_load(-1)
                        running -= 1
                        self._silent_until = 0.0
                        yield index, completion
            if completions.missing:
                raise MalformedResponse(f"{completions.missing} completions are missing")
        except MalformedResponse as error:
            raise GenerationError(f"{self.base_url} did not answer as asked: {error}", "garbage") from error
        except TimeoutError as error:
            raise GenerationError(
                f"{self.base_url} {_silence(deadline(body, session.timeout.total or REQUEST_S))}; "
                "raise request_timeout_s or generate fewer tokens at a time",
                "timeout",
            ) from error
        except aiohttp.ClientError as error:
            if isinstance(error, aiohttp.ClientConnectorError):
                self._silent_until = time.monotonic() + SILENT_S
            raise GenerationError(
                f"{self.base_url} cannot be reached ({error!r}); see the log of the server", "connection"
            ) from error
        finally:
            self._add_load(-running)

    async def _documents(self, session: aiohttp.ClientSession, body: Mapping[str, Any]) -> AsyncGenerator[bytes]:
        """Yield the JSON documents of an answer: one, or one per event of a stream."""
        url, data = f"{self.base_url}/v1/completions", msgspec.json.encode(body)
        meant = {INSTANCE: self.instance} if self.instance is not None else {}
        limit = deadline(body, session.timeout.total or REQUEST_S)
        async with session.post(url, data=data, headers=_JSON | meant, timeout=limit) as response:
            if response.status == OTHER_INSTANCE and meant:
                self.outdated = True
                raise GenerationError(f"{self.base_url} was started anew and has the weights of its start", RESTARTED)
            if response.status != 200:
                raise self._refusal(response.status, await response.text(errors="replace"))
            if not body.get("stream"):
                yield await response.read()
                return
            events = EventStream()
            async for chunk in response.content.iter_any():
                for document in events.feed(chunk):
                    yield document

    def _add_load(self, completions: int) -> None:
        now = time.monotonic()
        if self.load:
            self._busy_s += now - self._busy_since
        self._busy_since = now
        self.load += completions

    def _refusal(self, status: int, text: str) -> GenerationError:
        too_long = status == 400 and ("context length" in text or "max_model_len" in text)
        cause = "context" if too_long else f"http_{status}"
        if status == REFUSED:
            return GenerationError(refusal(self.base_url), cause)
        return GenerationError(f"{self.base_url} answered {status}: {text[:_ERROR_EXCERPT]}", cause)
