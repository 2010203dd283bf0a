"""The HTTP service in front of a student: teaches it, and answers as it would."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import secrets
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from trainers.generation.api.relayed import ChatRelay
from trainers.generation.types import GenerationError, Sampling
from trainers.service import wire
from trainers.service.answering import TaughtRequest, answered, streamed
from trainers.service.conversation import Conversation, tools_told
from trainers.service.errors import BadRequest
from trainers.service.figures import Figures
from trainers.service.forms.form import CHAT, COMPLETION, RESPONSE, Events, Form
from trainers.service.guidance_memory import GuidanceMemory
from trainers.service.network.connections import Connections, GuardedRunner
from trainers.service.network.cross_origin import Origins
from trainers.service.recording import RecordedLesson, Recording
from trainers.service.wire import ChatRequest, Identity
from trainers.teaching.adaptive import AdaptiveTeacher, Guidance, Model, as_generator, default_templates
from trainers.teaching.prompts import PromptTemplates
from trainers.traces.feedback import FeedbackLostError, UnknownLessonError

logger = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_EVENT_STREAM = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_LAST_WORD_S = 2.0
_PATHS = "/v1/chat/completions, /v1/completions, /v1/responses, /v1/feedback and /v1/models"
_FAILURES = {
    "context": (400, "context_length_exceeded"),
    "content_filter": (400, "content_filter"),
    "template": (400, "invalid_request_error"),
    "http_429": (429, "rate_limit_exceeded"),
    "timeout": (504, "timeout"),
}
"""Failures of the student that have a status of their own, by cause; the others are 502."""

_STUDENT_TEMPERATURE = 0.7


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
        max_choices: answers to one request, its `n`.
        max_connections: clients connected at a time; who has sent no whole request makes room for others.
        receive_timeout_s: seconds until the head of a request has come, and again until its body has.
    """

    max_concurrent_requests: int = 64
    request_timeout_s: float = 300.0
    guidance_timeout_s: float = 120.0
    max_body_bytes: int = 2**20
    max_tokens: int = 2048
    max_probe_tokens: int = 500
    max_completion_length: int = 2048
    max_choices: int = 8
    max_connections: int = 512
    receive_timeout_s: float = 30.0

    def within(self, student: int | None, teacher: int | None) -> Limits:
        """Return the limits for models whose contexts hold so many tokens: a quarter is left for the prompt.

        A limit that leaves less becomes half of the context, and one for the approach a quarter; `None` is unknown.
        """

        def shortened(limit: int, context: int | None, parts: int) -> int:
            return limit if context is None or 4 * limit <= 3 * context else context // parts

        return replace(
            self,
            max_tokens=shortened(self.max_tokens, student, 2),
            max_probe_tokens=shortened(self.max_probe_tokens, student, 4),
            max_completion_length=shortened(self.max_completion_length, teacher, 2),
        )


class Service:
    """Answers chat requests with a taught student.

    Args:
        teacher: the model that teaches.
        student: the model that answers.
        name: what the student is called by clients.
        limits: what is taken on.
        templates: the words of the stages.
        key: what clients must send as a bearer token; `None` lets everybody in.
        origins: pages of a browser that may call; see `Origins`.
        teach_every_request: teach again for the results of tools, instead of once per user turn.
        recording: how lessons are recorded; `None` records none.
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
        origins: Sequence[str] = (),
        teach_every_request: bool = False,
        recording: Recording | None = None,
    ) -> None:
        self._teacher, self._student, self._name = as_generator(teacher), as_generator(student), name
        self._limits = limits or Limits()
        self._templates = templates or default_templates()
        self._key = key
        self._origins = Origins(origins, keyed=key is not None)
        self._memory = None if teach_every_request else GuidanceMemory()
        self._recording = recording
        self._figures = Figures()
        self._connections = Connections(self._limits.max_connections, self._limits.receive_timeout_s)
        self._running = 0

    def runner(self, **options: Any) -> GuardedRunner:
        """Return what runs the application behind an address; options are those of `aiohttp.web.AppRunner`."""
        return GuardedRunner(self.application(), self._connections, handler_cancellation=True, **options)

    def application(self) -> web.Application:
        """Return the application, to be run by `aiohttp`."""
        app = web.Application(middlewares=[self._guarded], client_max_size=self._limits.max_body_bytes)
        app.on_cleanup.append(self._close)
        app.on_response_prepare.append(self._let_pages_read)
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{model:.+}", self._model)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_post("/v1/responses", self._responses)
        app.router.add_post("/v1/feedback", self._feedback)
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count requests, and answer those by which a browser asks whether a page may call."""
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return web.Response(status=204)
        begun = time.monotonic()
        self._connections.head_came(request.transport)
        try:
            response = await self._worded(request, handler)
        finally:
            self._connections.answered(request.transport)
        resource = request.match_info.route.resource
        path = resource.canonical if resource is not None else "other"
        self._figures.answered(path, response.status, time.monotonic() - begun)
        return response

    async def _worded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let only those in who have the key, and word every refusal as OpenAI's clients read it."""
        if request.path != "/health" and not self._admits(request.headers.get("Authorization", "")):
            return _refusal(401, "The key is missing or wrong: send it as a bearer token.", "invalid_api_key")
        try:
            return await handler(request)
        except BadRequest as error:
            return _refusal(400, str(error), "invalid_request_error")
        except GenerationError as error:
            logger.warning("no answer: %s", error)
            return _failure(error)
        except TimeoutError:
            limit = self._limits.request_timeout_s
            return _refusal(504, f"There was no answer within {limit:g} s.", "timeout")
        except web.HTTPNotFound:
            return _refusal(404, f"There is no {request.path} here, only {_PATHS}.", "not_found")
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

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._figures.text(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _let_pages_read(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(self._origins.headers(request.headers.get("Origin")))

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [wire.model(self._name)]})

    async def _model(self, request: web.Request) -> web.Response:
        asked = request.match_info["model"]
        return web.json_response(wire.model(self._name)) if asked == self._name else self._unknown(asked)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._admitted(request, CHAT)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._admitted(request, COMPLETION)

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        return await self._admitted(request, RESPONSE)

    async def _feedback(self, request: web.Request) -> web.Response:
        body = await _json(request)
        if self._recording is None:
            return _refusal(404, "This service records no lessons, so that there is none to judge.", "not_found")
        try:
            given = await self._recording.take(body)
        except UnknownLessonError as error:
            return _refusal(404, str(error), "lesson_not_found")
        except FeedbackLostError:
            return _refusal(503, "The feedback could not be written; the log of the service says why.", "server_error")
        return web.json_response({"object": "feedback", "id": given.id, "score": given.score, "comment": given.comment})

    async def _admitted(self, request: web.Request, form: Form) -> web.StreamResponse:
        # Its place is taken by a request that has come whole: half of one holds nothing up.
        body = await _json(request)
        if self._running >= self._limits.max_concurrent_requests:
            refusal = _refusal(429, "Too many requests at a time.", "rate_limit_exceeded")
            refusal.headers["Retry-After"] = "1"
            return refusal
        self._connections.request_came(request.transport)
        self._running += 1
        try:
            with self._figures.running.track_inprogress():
                return await self._answer(request, body, form)
        finally:
            self._running -= 1

    async def _answer(self, request: web.Request, body: Any, form: Form) -> web.StreamResponse:
        deadline = asyncio.get_running_loop().time() + self._limits.request_timeout_s
        async with asyncio.timeout_at(deadline):
            asked = wire.read_request(form.read(body), max_choices=self._limits.max_choices)
            if asked.model not in (None, self._name):
                return self._unknown(asked.model)
            if not isinstance(self._student, ChatRelay):
                wire.check_text_only(asked)
            recording = self._recording
            recorded = recording.of(request.headers, body, asked.conversation) if recording else None
            turn = await self._turn(asked, recorded)
            if not asked.stream:
                return web.json_response(form.write(await answered(turn, self._student), body))
            chunks = streamed(turn, self._student)
            # The first chunk decides whether there is an answer at all, which the status must say.
            first = await anext(chunks)
        return await self._stream(request, form.events(body), first, chunks, deadline)

    async def _turn(self, asked: ChatRequest, recorded: RecordedLesson | None) -> TaughtRequest:
        """Everything that the answer to a request needs, its guidance first."""
        # Who asks again without a seed wants another answer.
        seed = secrets.randbits(31) if asked.seed is None else asked.seed
        limits = self._limits
        sampling = Sampling(
            min(asked.max_tokens or limits.max_tokens, limits.max_tokens),
            _STUDENT_TEMPERATURE if asked.temperature is None else asked.temperature,
            1.0 if asked.top_p is None else asked.top_p,
        )
        templates = replace(self._templates, student_system_prompt=asked.conversation.system)

        def teacher(choice: int) -> AdaptiveTeacher:
            return AdaptiveTeacher(
                self._teacher,
                templates=templates,
                max_tokens=sampling.max_tokens,
                max_probe_tokens=limits.max_probe_tokens,
                max_completion_length=limits.max_completion_length,
                student_temperature=sampling.temperature,
                student_top_p=sampling.top_p,
                seed=seed + choice,
            )

        identity = Identity(f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), self._name)
        guidance = await self._guidance(teacher(0), asked)
        if recorded is not None:
            recorded.guided()
        return TaughtRequest(asked, guidance, identity, templates, sampling, seed, teacher, recorded)

    async def _guidance(self, teacher: AdaptiveTeacher, asked: ChatRequest) -> Guidance:
        """Return the guidance of the user turn that a request belongs to: remembered, or new."""
        conversation = asked.conversation
        known = self._memory.recall(conversation) if self._memory is not None else None
        if known is not None:
            self._figures.reused()
            return known
        guidance = await self._guide(teacher, _question(conversation, asked, whole=self._memory is None))
        self._figures.guided(guidance)
        if self._memory is not None:
            self._memory.remember(conversation, guidance)
        return guidance

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
        events: Events,
        first: Mapping[str, Any],
        rest: AsyncGenerator[dict[str, Any]],
        deadline: float,
    ) -> web.StreamResponse:
        """Send an answer as it comes, until the deadline; from here on, failures are events of the stream."""
        response = web.StreamResponse(headers=_EVENT_STREAM)
        async with aclosing(rest):
            try:
                async with asyncio.timeout_at(deadline):
                    await response.prepare(request)
                    await response.write(events.feed(first))
                    async for chunk in rest:
                        await response.write(events.feed(chunk))
                    await response.write(events.end())
                    return response
            except ConnectionError:
                raise  # the client has gone, and aiohttp knows
            except (GenerationError, TimeoutError) as error:
                logger.warning("an answer broke off: %s", error or "its time was over")
            except Exception:
                logger.exception("an answer broke off")
        await _last_word(request, response, events.broken("The answer broke off.", "incomplete"))
        return response

    def _unknown(self, model: str | None) -> web.Response:
        return _refusal(404, f"There is no model {model!r} here, only {self._name!r}.", "model_not_found")


def _question(conversation: Conversation, asked: ChatRequest, *, whole: bool) -> str:
    """Return what the teacher is asked about: the user turn, or all that was said since, and the tools at hand."""
    question = conversation.in_full if whole else conversation.question
    tools = tools_told(asked.fields.get("tools"))
    return f"{question}\n\n{tools}" if tools else question


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
    try:
        body = await request.read()
    except web.RequestPayloadError as error:
        raise BadRequest("The body is not encoded as its headers say.") from error
    try:
        return json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body must be JSON.") from error


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _failure(error: GenerationError) -> web.Response:
    """Return the refusal for a student that failed, in its own words where it says what is wrong with the request."""
    refused = (400, "invalid_request_error") if error.told else (502, error.cause)
    status, kind = _FAILURES.get(error.cause, refused)
    return _refusal(status, error.told or f"A model behind this service failed ({error.cause}).", kind)


def _refusal(status: int, message: str, kind: str) -> web.Response:
    return web.json_response(wire.error(message, kind), status=status)
