"""A server that died is told once, not once for each request and attempt; and once when it is back."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.generation.test_endpoint_pool import PROMPT, SAMPLING, Script, WordRenderer
from trainers.generation.retries import RetryPolicy
from trainers.generation.types import GenerationError
from trainers.generation.vllm.endpoint_pool import EndpointPool


@pytest.mark.fault("a dead server under 40 requests of 4 attempts", "two lines of log, one when it is back")
def test_a_dead_server_is_told_once_and_once_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    from aiohttp import web

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def meet() -> list[object]:
        retry = RetryPolicy(attempts=4, first_delay_s=0.01)
        pool = EndpointPool([f"http://127.0.0.1:{port}"], "m", WordRenderer(), max_model_len=99, retry=retry)

        async def ask(count: int) -> list[object]:
            requests = [pool.generate([PROMPT], n=1, sampling=SAMPLING, seed=seed) for seed in range(count)]
            return await asyncio.gather(*requests, return_exceptions=True)

        failed = await ask(40)
        assert {type(each) for each in failed} == {GenerationError}
        assert pool.traffic.retries == 120
        app = web.Application()
        app.router.add_post("/v1/completions", Script().completions)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        answered = await ask(5)
        await pool.aclose()
        await runner.cleanup()
        return answered

    answered = asyncio.run(meet())
    assert not any(isinstance(each, Exception) for each in answered)
    told = [message for message in caplog.messages if "cannot be reached" in message]
    # That it fails, and that a request was given up at last.
    assert [("attempts each" in message, "given up" in message) for message in told] == [(True, False), (False, True)]
    assert [message for message in caplog.messages if "answers again" in message] == [
        f"http://127.0.0.1:{port} answers again"
    ]
