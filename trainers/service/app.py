"""The HTTP service in front of a student: teaches it, and answers as it would."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from trainers.service import wire
from trainers.service.wire import BadRequest, ChatRequest
from trainers.teaching.adaptive import AdaptiveTeacher, Model, as_generator, default_templates
from trainers.teaching.lesson import GenerationError
from trainers.teaching.prompts import PromptTemplates

logger = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Limits:
    """What the service takes on.

    Args:
        max_concurrent_requests: answered at a time; further ones are refused with 429 and `Retry-After`.
        request_timeout_s: seconds until an answer is given up with 504.
        max_body_bytes: of a request.
        max_tokens: of an answer; clients may ask for fewer.
        max_probe_tokens: of the student's approach.
        max_completion_length: of the teacher's completion.
    """

    max_concurrent_requests: int = 64
    request_timeout_s: float = 300.0
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
        """The application, to be run by `aiohttp`."""
        app = web.Application(middlewares=[self._guarded], client_max_size=self._limits.max_body_bytes)
        app.on_cleanup.append(self._close)
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
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
            return _refusal(502, f"A model behind this service failed ({error.cause}).", error.cause)
        except TimeoutError:
            limit = self._limits.request_timeout_s
            return _refusal(504, f"There was no answer within {limit:g} s.", "timeout")
        except web.HTTPException as error:
            return _refusal(error.status, error.reason, "invalid_request_error")

    async def _close(self, _: web.Application) -> None:
        for model in (self._teacher, self._student):
            if hasattr(model, "aclose"):
                await model.aclose()

    def _admits(self, header: str) -> bool:
        return self._key is None or hmac.compare_digest(header.encode(), f"Bearer {self._key}".encode())

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "running": self._running})

    async def _models(self, request: web.Request) -> web.Response:
        entry = {"id": self._name, "object": "model", "created": 0, "owned_by": "atlas"}
        return web.json_response({"object": "list", "data": [entry]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        asked = wire.read_request(await _json(request))
        if asked.model != self._name:
            return _refusal(404, f"There is no model {asked.model!r} here, only {self._name!r}.", "model_not_found")
        if self._running >= self._limits.max_concurrent_requests:
            refusal = _refusal(429, "Too many requests at a time.", "rate_limit_exceeded")
            refusal.headers["Retry-After"] = "1"
            return refusal
        self._running += 1
        try:
            async with asyncio.timeout(self._limits.request_timeout_s):
                return await (self._stream(request, asked) if asked.stream else self._whole(asked))
        finally:
            self._running -= 1

    async def _whole(self, asked: ChatRequest) -> web.Response:
        given = await self._taught_by(asked).teach(asked.question, self._student)
        return web.json_response(wire.answer(*self._identity(), given))

    async def _stream(self, request: web.Request, asked: ChatRequest) -> web.StreamResponse:
        teacher, identity = self._taught_by(asked), self._identity()
        guidance = await teacher.guide(asked.question, self._student)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        text = ""
        pieces = teacher.stream(asked.question, self._student, guidance)
        async with aclosing(pieces):
            # The first piece decides whether there is an answer at all, which the status must say.
            first = await anext(pieces, "")
            await response.prepare(request)
            await response.write(_event(wire.opening(*identity, guidance)))
            try:
                await response.write(_event(wire.chunk(*identity, piece=first)))
                text += first
                async for piece in pieces:
                    text += piece
                    await response.write(_event(wire.chunk(*identity, piece=piece)))
            except (GenerationError, TimeoutError) as error:
                logger.warning("an answer broke off: %s", error)
                await response.write(_event(wire.error("The answer broke off.", "incomplete")))
                return response
        await response.write(_event(wire.chunk(*identity, finish_reason="stop")))
        if asked.include_usage:
            await response.write(_event(wire.usage_chunk(*identity, guidance, text)))
        await response.write(b"data: [DONE]\n\n")
        return response

    def _taught_by(self, asked: ChatRequest) -> AdaptiveTeacher:
        """The teacher, with the words and the sampling that a client asks for."""
        limits = self._limits
        given = {"student_temperature": asked.temperature, "seed": asked.seed}
        return AdaptiveTeacher(
            self._teacher,
            templates=replace(self._templates, student_system_prompt=asked.system),
            max_tokens=min(asked.max_tokens or limits.max_tokens, limits.max_tokens),
            max_probe_tokens=limits.max_probe_tokens,
            max_completion_length=limits.max_completion_length,
            **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
        )

    def _identity(self) -> tuple[str, int, str]:
        return f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), self._name


async def _json(request: web.Request) -> Any:
    try:
        return await request.json()
    except ValueError as error:
        raise BadRequest("The body must be JSON.") from error


def _refusal(status: int, message: str, kind: str) -> web.Response:
    return web.json_response(wire.error(message, kind), status=status)


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
