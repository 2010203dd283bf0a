"""The HTTP service in front of a student: teaches it, and answers as it would."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import secrets
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from trainers.generation.token_estimates import estimated_tokens
from trainers.generation.types import GenerationError
from trainers.service import wire
from trainers.service.stops import StopStrings
from trainers.service.wire import BadRequest, ChatRequest
from trainers.teaching.adaptive import AdaptiveTeacher, Guidance, Model, as_generator, default_templates
from trainers.teaching.lesson import Solution
from trainers.teaching.prompts import PromptTemplates

logger = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Piece = str | Solution

_EVENT_STREAM = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_LAST_WORD_S = 2.0
_FAILURES = {
    "context": (400, "context_length_exceeded"),
    "content_filter": (400, "content_filter"),
    "http_429": (429, "rate_limit_exceeded"),
    "timeout": (504, "timeout"),
}
"""Failures of the student that have a status of their own, by cause; the others are 502."""


@dataclass(frozen=True)
class Limits:
    """Bounds on the requests that the service takes, and on the seconds, bytes and tokens of each.

    Args:
        max_concurrent_requests: answered at a time; further ones are refused with 429 and `Retry-After`.
        request_timeout_s: seconds until an answer is given up with 504.
        guidance_timeout_s: seconds of them until the student answers without a teaching.
        max_body_bytes: of a request.
        max_tokens: of an answer; clients may ask for fewer.
        max_probe_tokens: of the student's approach.
        max_completion_length: of the teacher's completion.
    """

    max_concurrent_requests: int = 64
    request_timeout_s: float = 300.0
    guidance_timeout_s: float = 120.0
    max_body_bytes: int = 2**20
    max_tokens: int = 2048
    max_probe_tokens: int = 500
    max_completion_length: int = 2048


class Service:
    """Answers chat requests with a taught student.

    Args:
        teacher: the model that teaches.
        student: the model that answers.
        name: what the student is called by clients.
        limits: what is taken on.
        templates: the words of the stages.
        key: what clients must send as a bearer token; `None` lets everybody in.
    """

    def __init__(
        self,
        teacher: Model,
        student: Model,
        name: str,
        *,
        limits: Limits | None = None,
        templates: PromptTemplates | None = None,
        key: str | None = None,
    ) -> None:
        self._teacher, self._student, self._name = as_generator(teacher), as_generator(student), name
        self._limits = limits or Limits()
        self._templates = templates or default_templates()
        self._key = key
        self._running = 0

    def application(self) -> web.Application:
        """Return the application, to be run by `aiohttp`."""
        app = web.Application(middlewares=[self._guarded], client_max_size=self._limits.max_body_bytes)
        app.on_cleanup.append(self._close)
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{model:.+}", self._model)
        app.router.add_post("/v1/chat/completions", self._chat)
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Lets only those in who have the key, and words every refusal as OpenAI's clients read it."""
        if request.path != "/health" and not self._admits(request.headers.get("Authorization", "")):
            return _refusal(401, "The key is missing or wrong: send it as a bearer token.", "invalid_api_key")
        try:
            return await handler(request)
        except BadRequest as error:
            return _refusal(400, str(error), "invalid_request_error")
        except GenerationError as error:
            logger.warning("no answer: %s", error)
            status, kind = _FAILURES.get(error.cause, (502, error.cause))
            return _refusal(status, f"A model behind this service failed ({error.cause}).", kind)
        except TimeoutError:
            limit = self._limits.request_timeout_s
            return _refusal(504, f"There was no answer within {limit:g} s.", "timeout")
        except web.HTTPException as error:
            return _refusal(error.status, error.reason, "invalid_request_error")
        except ConnectionError:
            raise  # the client has gone, and aiohttp knows
        except Exception:
            logger.exception("%s failed", request.path)
            return _refusal(500, "The service itself failed; its log says why.", "server_error")

    async def _close(self, _: web.Application) -> None:
        for model in (self._teacher, self._student):
            if hasattr(model, "aclose"):
                await model.aclose()

    def _admits(self, header: str) -> bool:
        if self._key is None:
            return True
        scheme, _, key = header.partition(" ")
        # What is no UTF-8 in a header comes as surrogates, which only this way are bytes again.
        given = key.strip().encode("utf-8", "surrogateescape")
        return scheme.lower() == "bearer" and hmac.compare_digest(given, self._key.encode())

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "running": self._running})

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [wire.model(self._name)]})

    async def _model(self, request: web.Request) -> web.Response:
        asked = request.match_info["model"]
        return web.json_response(wire.model(self._name)) if asked == self._name else self._unknown(asked)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        if self._running >= self._limits.max_concurrent_requests:
            refusal = _refusal(429, "Too many requests at a time.", "rate_limit_exceeded")
            refusal.headers["Retry-After"] = "1"
            return refusal
        self._running += 1
        try:
            return await self._answer(request)
        finally:
            self._running -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        deadline = asyncio.get_running_loop().time() + self._limits.request_timeout_s
        async with asyncio.timeout_at(deadline):
            asked = wire.read_request(await _json(request))
            if asked.model != self._name:
                return self._unknown(asked.model)
            teacher = self._taught_by(asked)
            guidance = await self._guide(teacher, asked.question)
            if not asked.stream:
                given = await teacher.answer(asked.question, self._student, guidance)
                return web.json_response(wire.answer(*self._identity(), given, asked.stop))
            pieces = teacher.follow(asked.question, self._student, guidance)
            # The first piece decides whether there is an answer at all, which the status must say.
            first = await anext(pieces)
        return await self._stream(request, asked, guidance, first, pieces, deadline)

    async def _guide(self, teacher: AdaptiveTeacher, question: str) -> Guidance:
        """Return the student's guidance, or one without a teaching when it would leave no time to answer."""
        limit = self._limits.guidance_timeout_s
        try:
            async with asyncio.timeout(limit):
                return await teacher.guide(question, self._student)
        except TimeoutError:
            logger.warning("there was no teaching within %g s", limit)
            return Guidance(question, "", "", None, 0, "guidance_timeout")

    async def _stream(
        self,
        request: web.Request,
        asked: ChatRequest,
        guidance: Guidance,
        first: Piece,
        rest: AsyncGenerator[Piece],
        deadline: float,
    ) -> web.StreamResponse:
        """Send an answer as it comes, until the deadline; from here on, failures are events of the stream."""
        response = web.StreamResponse(headers=_EVENT_STREAM)
        events = _events(self._identity(), asked, guidance, first, rest)
        async with aclosing(rest), aclosing(events):
            try:
                async with asyncio.timeout_at(deadline):
                    await response.prepare(request)
                    async for event in events:
                        await response.write(event)
                    return response
            except ConnectionError:
                raise  # the client has gone, and aiohttp knows
            except (GenerationError, TimeoutError) as error:
                logger.warning("an answer broke off: %s", error or "its time was over")
            except Exception:
                logger.exception("an answer broke off")
        await _last_word(request, response, _event(wire.error("The answer broke off.", "incomplete")))
        return response

    def _unknown(self, model: str) -> web.Response:
        return _refusal(404, f"There is no model {model!r} here, only {self._name!r}.", "model_not_found")

    def _taught_by(self, asked: ChatRequest) -> AdaptiveTeacher:
        """Return the teacher, with the words and the sampling that a client asks for."""
        limits = self._limits
        given = {"student_temperature": asked.temperature, "student_top_p": asked.top_p}
        return AdaptiveTeacher(
            self._teacher,
            templates=replace(self._templates, student_system_prompt=asked.system),
            max_tokens=min(asked.max_tokens or limits.max_tokens, limits.max_tokens),
            max_probe_tokens=limits.max_probe_tokens,
            max_completion_length=limits.max_completion_length,
            # Who asks again without a seed wants another answer.
            seed=secrets.randbits(31) if asked.seed is None else asked.seed,
            **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
        )

    def _identity(self) -> tuple[str, int, str]:
        return f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), self._name


async def _events(
    identity: tuple[str, int, str],
    asked: ChatRequest,
    guidance: Guidance,
    first: Piece,
    rest: AsyncGenerator[Piece],
) -> AsyncGenerator[bytes]:
    """Yield the events of a streamed answer, up to a stop string."""
    stops, text, solution = StopStrings(asked.stop), "", None
    yield _event(wire.opening(*identity, guidance))
    async for piece in _chained(first, rest):
        if isinstance(piece, Solution):
            solution = piece
        elif shown := stops.feed(piece):
            text += shown
            yield _event(wire.chunk(*identity, piece=shown))
        if stops.met:
            break
    if shown := stops.end():
        text += shown
        yield _event(wire.chunk(*identity, piece=shown))
    yield _event(wire.chunk(*identity, finish_reason=wire.finish_reason(solution, stops.met)))
    if asked.include_usage:
        tokens = estimated_tokens(text) if solution is None else solution.tokens
        yield _event(wire.usage_chunk(*identity, guidance, tokens))
    yield b"data: [DONE]\n\n"


async def _chained(first: Piece, rest: AsyncGenerator[Piece]) -> AsyncGenerator[Piece]:
    yield first
    async for piece in rest:
        yield piece


async def _last_word(request: web.Request, response: web.StreamResponse, event: bytes) -> None:
    """End a stream that broke off; a client that does not even read this is cut off."""
    try:
        async with asyncio.timeout(_LAST_WORD_S):
            await response.write(event)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()


async def _json(request: web.Request) -> Any:
    body = await request.read()
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body must be JSON.") from error


def _refusal(status: int, message: str, kind: str) -> web.Response:
    return web.json_response(wire.error(message, kind), status=status)


def _event(data: dict[str, Any]) -> bytes:
    # In ASCII, so that halves of characters, which some APIs send in pieces of their own, are passed on.
    return f"data: {json.dumps(data)}\n\n".encode()
