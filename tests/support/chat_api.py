"""A chat API in this process that misbehaves on command, or by chance in front of a real one."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from trainers.serving.run_token import authorization

KEY = "sk-very-secret"
_REASONS = {"filtered": "content_filter", "cut": "length"}


class ChatApi:
    """Follows a list of behaviours, then answers well: an echo of the seed.

    Args:
        behaviours: `"good"`, a status, `(status, retry_after_s)`, `(status, headers)`, or one of `hang drop html
            truncated filtered cut`, `no_` with a parameter, and `breaks ends fails` for a stream, which drop the
            connection, end without saying why, or tell an error instead of the rest.
        pause_s: how long every answer takes.
        word_s: seconds between the words of a stream.
    """

    def __init__(self, *behaviours: Any, pause_s: float = 0.0, word_s: float = 0.01) -> None:
        self.behaviours = list(behaviours)
        self.pause_s = pause_s
        self.word_s = word_s
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []

    def text(self, body: dict[str, Any]) -> str:
        """Return the text of the answer to a request: here an echo of its seed."""
        return f"seed {body.get('seed')}"

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """Keep the request, and answer it with the next behaviour."""
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.pause_s)
        return await self.behave(request, body, self.behaviours.pop(0) if self.behaviours else "good")

    async def behave(self, request: web.Request, body: dict[str, Any], behaviour: Any) -> web.StreamResponse:
        """Answer a request in the way that a behaviour says."""
        if isinstance(behaviour, tuple):
            return web.json_response({"error": {"message": "busy"}}, status=behaviour[0], headers=_wait(behaviour[1]))
        if isinstance(behaviour, int):
            return web.json_response(
                {"error": {"message": f"no, {request.headers['Authorization']}"}}, status=behaviour
            )
        if behaviour == "hang":
            await asyncio.sleep(3)
        if behaviour == "drop":
            assert request.transport is not None
            request.transport.close()
        if behaviour == "html":
            return web.Response(text="<html>proxy</html>", content_type="text/html")
        for parameter in ("seed", "max_tokens", "temperature", "top_p"):
            if behaviour == f"no_{parameter}":
                return web.json_response({"error": {"message": "Unsupported", "param": parameter}}, status=400)
        if body.get("stream"):
            return await streamed(request, body, behaviour, self.word_s)
        answer = good_answer(body, self.text(body))
        if behaviour in _REASONS:
            answer["choices"][0] |= {"finish_reason": _REASONS[behaviour]}
        response = web.json_response(answer)
        if behaviour == "truncated":
            return truncated(response.body)
        return response


class Misbehaving:
    """Stands before a real API at `target` and spoils a share of the answers of each kind: 429, 500, slow, truncated.

    A truncated answer was generated and is lost; a slow one comes after the client's deadline.
    """

    def __init__(self, target: str, share: float = 0.1, slow_s: float = 3.0, seed: int = 0) -> None:
        self.target, self.share, self.slow_s = target, share, slow_s
        self.chance = random.Random(seed)
        self.spoiled = {"429": 0, "500": 0, "slow": 0, "truncated": 0}
        self.requests = 0

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """Pass the request on, and now and then spoil it."""
        self.requests += 1
        draw = self.chance.random()
        kind = next((name for i, name in enumerate(self.spoiled) if draw < (i + 1) * self.share), None)
        if kind is not None:
            self.spoiled[kind] += 1
        if kind == "429":
            return web.json_response({"error": {"message": "slow down"}}, status=429, headers=_wait(0.05))
        if kind == "500":
            return web.json_response({"error": {"message": "oops"}}, status=500)
        if kind == "slow":
            await asyncio.sleep(self.slow_s)
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self.target}/chat/completions", data=await request.read(), headers=_JSON | authorization()
            ) as real,
        ):
            body, status = await real.read(), real.status
        if kind == "truncated":
            return truncated(body)
        return web.Response(body=self.changed(body), status=status, content_type="application/json")

    def changed(self, body: bytes) -> bytes:
        """Return an answer as it is passed on: here unchanged."""
        return body


class WellFormed(Misbehaving):
    """Stands before a teacher that has not been trained, and puts the tags around what it says."""

    def changed(self, body: bytes) -> bytes:
        """Return an answer with the tags."""
        answer = json.loads(body)
        message = answer["choices"][0]["message"]
        message["content"] = f"<teaching>{message['content']}</teaching>"
        return json.dumps(answer).encode()


_JSON = {"Content-Type": "application/json"}


def good_answer(body: dict[str, Any], text: str = "") -> dict[str, Any]:
    """A chat completion and what it cost."""
    message = {"role": "assistant", "content": text}
    return {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 3},
    }


async def streamed(request: web.Request, body: dict[str, Any], behaviour: Any, word_s: float) -> web.StreamResponse:
    """The same completion word by word, after some reasoning; it may break off before it is complete."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for piece in ("<thi", "nk>hm</think>\n", "seed ", str(body.get("seed"))):
        await response.write(_chunk({"content": piece}))
        await asyncio.sleep(word_s)
    if behaviour == "breaks":
        assert request.transport is not None
        request.transport.close()
    elif behaviour == "fails":
        await response.write(_event({"error": {"message": f"no, {request.headers['Authorization']}"}}))
    elif behaviour != "ends":
        await response.write(_chunk({}, _REASONS.get(behaviour, "stop")))
        await response.write(_event({"choices": [], "usage": good_answer(body)["usage"]}) + b"data: [DONE]\n\n")
    return response


def _chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    return _event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def truncated(body: Any) -> web.Response:
    """The first half of an answer, as if it were all of it."""
    return web.Response(body=body[: len(body) // 2], content_type="application/json")


@asynccontextmanager
async def listening(api: Any) -> AsyncIterator[str]:
    """Serve an API; yield its base URL."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", api.completions)
    # With 0 aiohttp waits for its handlers without an end, also for one that sleeps for a minute.
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


def _wait(asked: float | dict[str, str]) -> dict[str, str]:
    return asked if isinstance(asked, dict) else {"Retry-After": str(asked)}
