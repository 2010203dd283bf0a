"""Requests wait for servers that the launcher restarts, and for no others; a restarted teacher is told from the old."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.generation.test_endpoint_pool import PROMPT, SAMPLING, Script, WordRenderer
from trainers.generation.retries import RetryPolicy
from trainers.generation.types import Generation, GenerationError
from trainers.generation.vllm.endpoint import ServersRestarted
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.generation.vllm.returning import Returning
from trainers.serving.instances import INSTANCE, OTHER_INSTANCE
from trainers.serving.server_records import ServerRecord, ServerRecords, State, write_records

Ask = Callable[[], Coroutine[Any, Any, Any]]
RETRY = RetryPolicy(attempts=2, first_delay_s=0.01)
FIRST_WEIGHTS = (
    "a teacher's server started anew under requests that are meant for the start before",
    "none is answered from its first weights",
)


class Restartable:
    """A server at a fixed address that can be ended and started anew, and the launcher that writes of it."""

    def __init__(self, output: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = output
        self.script = Script()
        self.restarts = 0
        self.others: list[ServerRecord] = []
        self._runner: web.AppRunner | None = None

    def tell(self, state: State) -> None:
        mine = ServerRecord("student-0", "student", "m", self.url, 1, state, self.restarts)
        write_records(self.output, [mine, *self.others])

    async def start(self) -> None:
        start = f"start-{self.restarts}"

        @web.middleware
        async def named(request: web.Request, handler: Any) -> web.StreamResponse:
            if request.headers.get(INSTANCE, start) != start:
                return web.Response(status=OTHER_INSTANCE)
            return await handler(request)

        async def well(_: web.Request) -> web.Response:
            return web.Response()

        app = web.Application(middlewares=[named])
        app.router.add_post("/v1/completions", self.script.completions)
        app.router.add_get("/health", well)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.tell("up")

    async def end(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def restart(self, after_s: float) -> None:
        await self.end()
        await asyncio.sleep(after_s / 2)
        self.tell("restarting")
        self.restarts += 1
        await asyncio.sleep(after_s / 2)
        await self.start()

    def pool(self, *more: str, **options: Any) -> EndpointPool:
        returning = Returning(ServerRecords(self.output), **{"timeout_s": 60, "look_every_s": 0.02} | options)
        urls = [self.url, *more]
        return EndpointPool(urls, "m", WordRenderer(), max_model_len=99, retry=RETRY, returning=returning)  # type: ignore[arg-type]


@asynccontextmanager
async def asked(
    server: Restartable, *more: str, **options: Any
) -> AsyncIterator[Callable[[], Coroutine[Any, Any, Any]]]:
    """A server that is up, and what asks it once."""
    await server.start()
    pool = server.pool(*more, **options)

    async def ask() -> list[Generation]:
        return await pool.generate([PROMPT], n=1, sampling=SAMPLING, seed=1)

    ask.pool = pool  # type: ignore[attr-defined]
    try:
        yield ask
    finally:
        await pool.aclose()
        await server.end()


def test_requests_wait_for_a_server_that_comes_back(tmp_path: Path) -> None:
    async def meet() -> list[Any]:
        server = Restartable(tmp_path)
        server.script.pause_s = 0.2
        async with asked(server) as ask:
            running = [asyncio.create_task(ask()) for _ in range(5)]
            await asyncio.sleep(0.05)
            restarting = asyncio.create_task(server.restart(0.6))
            await asyncio.sleep(0.2)
            # One that is sent while nobody listens, after others have found that out.
            running.append(asyncio.create_task(ask()))
            await restarting
            return await asyncio.gather(*running, return_exceptions=True)

    answers = asyncio.run(meet())
    assert [answer for answer in answers if isinstance(answer, BaseException)] == []
    assert len(answers) == 6


@pytest.mark.fault("a server that was given up, under a request that waits for it", "fails within 5 s")
@pytest.mark.parametrize("state", ["gone", "stopped"])
def test_nobody_waits_for_a_server_that_was_given_up(state: State, tmp_path: Path) -> None:
    async def meet() -> float:
        server = Restartable(tmp_path)
        async with asked(server) as ask:
            await server.end()
            waiting = asyncio.create_task(ask())
            await asyncio.sleep(0.3)
            assert not waiting.done()
            server.tell(state)
            start = time.monotonic()
            with pytest.raises(GenerationError, match="cannot be reached"):
                await waiting
            return time.monotonic() - start

    assert asyncio.run(meet()) < 5


def test_nobody_waits_for_ever_nor_without_a_launcher(tmp_path: Path) -> None:
    async def meet() -> None:
        server = Restartable(tmp_path)
        async with asked(server, timeout_s=0.1) as ask:
            await server.end()
            with pytest.raises(GenerationError, match="cannot be reached"):
                await ask()
            (tmp_path / "servers.json").unlink()
            with pytest.raises(GenerationError, match="cannot be reached"):
                await ask()

    asyncio.run(meet())


def test_what_a_server_that_is_well_refuses_is_not_waited_for(tmp_path: Path) -> None:
    async def meet() -> tuple[int, float]:
        server = Restartable(tmp_path)
        server.script.behaviours = [500, 500]
        async with asked(server) as ask:
            start = time.monotonic()
            with pytest.raises(GenerationError, match="answered 500"):
                await ask()
            return len(server.script.bodies), time.monotonic() - start

    bodies, seconds = asyncio.run(meet())
    assert bodies == 2
    assert seconds < 30


@pytest.mark.fault("one of two replicas gone", "the other one answers, no request is lost")
def test_the_other_of_two_servers_answers_meanwhile(tmp_path: Path) -> None:
    async def meet() -> int:
        first, second = Restartable(tmp_path), Restartable(tmp_path)
        await second.start()
        first.others = [ServerRecord("student-1", "student", "m", second.url, 2, "up")]
        async with asked(first, second.url) as ask:
            await first.end()
            first.tell("restarting")
            await asyncio.gather(*(ask() for _ in range(8)))
            answered = len(second.script.bodies)
            await second.end()
        return answered

    assert asyncio.run(meet()) == 8


def test_a_context_that_has_to_be_asked_for_waits_too(tmp_path: Path) -> None:
    async def meet() -> None:
        server = Restartable(tmp_path)
        async with asked(server) as ask:
            ask.pool._max_model_len = None  # type: ignore[attr-defined]
            with pytest.raises(GenerationError, match="does not tell the context"):
                await ask()
            await server.end()
            waiting = asyncio.create_task(ask())
            await asyncio.sleep(0.2)
            assert not waiting.done()
            server.tell("gone")
            with pytest.raises(GenerationError, match="does not tell the context"):
                await waiting
            await server.start()

    asyncio.run(meet())


@pytest.mark.fault(*FIRST_WEIGHTS)
def test_a_start_with_other_weights_is_not_asked(tmp_path: Path) -> None:
    async def meet() -> int:
        server = Restartable(tmp_path)
        async with asked(server) as ask:
            pool: EndpointPool = ask.pool  # type: ignore[attr-defined]
            pool.ask_only({server.url: "start-0"})
            await ask()
            asking = len(server.script.bodies)
            await server.restart(0.1)
            for _ in range(2):
                with pytest.raises(ServersRestarted, match=server.url):
                    await ask()
            assert len(server.script.bodies) == asking
            pool.ask_only({server.url: "start-1"})
            await ask()
            return len(server.script.bodies)

    assert asyncio.run(meet()) == 2


@pytest.mark.fault(*FIRST_WEIGHTS)
def test_a_request_that_waited_for_a_teacher_does_not_sample_from_its_first_weights(tmp_path: Path) -> None:
    async def meet() -> int:
        server = Restartable(tmp_path)
        async with asked(server) as ask:
            ask.pool.ask_only({server.url: "start-0"})  # type: ignore[attr-defined]
            restarting = asyncio.create_task(server.restart(0.4))
            await asyncio.sleep(0.1)
            with pytest.raises(ServersRestarted):
                await ask()
            await restarting
            return len(server.script.bodies)

    assert asyncio.run(meet()) == 0


@pytest.mark.fault(*FIRST_WEIGHTS)
def test_while_one_teacher_has_the_weights_the_restarted_one_is_left_alone(tmp_path: Path) -> None:
    async def meet() -> tuple[int, int]:
        first, second = Restartable(tmp_path), Restartable(tmp_path)
        await second.start()
        first.others = [ServerRecord("teacher-1", "teacher", "m", second.url, 2, "up")]
        async with asked(first, second.url) as ask:
            ask.pool.ask_only({first.url: "start-0", second.url: "start-0"})  # type: ignore[attr-defined]
            await first.restart(0.05)
            await asyncio.gather(*(ask() for _ in range(8)))
            answered = len(first.script.bodies), len(second.script.bodies)
            await second.end()
        return answered

    assert asyncio.run(meet()) == (0, 8)


@pytest.mark.fault("the only server started anew five times, under requests", "they wait, and all are answered")
def test_restarts_at_random_moments_lose_nothing(chance: random.Random, tmp_path: Path) -> None:
    async def meet() -> list[Any]:
        server = Restartable(tmp_path)
        server.script.pause_s = 0.01
        answers: list[asyncio.Task[Any]] = []
        async with asked(server) as ask:

            async def keep_asking() -> None:
                while True:
                    answers.append(asyncio.create_task(ask()))
                    await asyncio.sleep(0.01)

            asking = asyncio.create_task(keep_asking())
            for _ in range(5):
                await asyncio.sleep(0.05 * chance.random())
                await server.restart(0.1 * chance.random())
            asking.cancel()
            return await asyncio.gather(*answers, return_exceptions=True)

    answers = asyncio.run(meet())
    assert len(answers) > 5
    assert [answer for answer in answers if isinstance(answer, BaseException)] == []
