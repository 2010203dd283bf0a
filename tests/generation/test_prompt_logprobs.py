"""The log-probabilities of token ids that are there already: the wire format, a pool that asks, and a real server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import torch
from aiohttp import web
from transformers import AutoModelForCausalLM

from tests.generation.test_endpoint_pool import FAST_RETRY, WordRenderer
from trainers.generation.types import GenerationError, MalformedResponse
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.generation.vllm.prompt_logprobs import PromptLogprobs, scoring_body

SEQUENCES = [(7, 8, 9), (7, 5)]


def at(token: int, logprob: float) -> dict[str, Any]:
    return {str(token): {"logprob": logprob, "rank": 1, "decoded_token": "x"}}


def answer(**changes: Any) -> bytes:
    choices = [
        {"index": 1, "text": "", "prompt_logprobs": [None, at(5, -0.75)]},
        {"index": 0, "text": "", "prompt_logprobs": [None, at(8, -0.5), at(9, -0.25)]} | changes,
    ]
    return json.dumps({"choices": choices}).encode()


def test_each_token_but_the_first_has_a_value_whatever_the_order_of_the_answer() -> None:
    expected = PromptLogprobs(SEQUENCES)
    read = {index: made.logprobs for index, made in expected.feed(answer())}
    assert read == {0: (-0.5, -0.25), 1: (-0.75,)}
    assert expected.missing == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt_logprobs": [None, at(8, -0.5)]}, "3 prompt tokens, got 2"),
        ({"prompt_logprobs": [None, at(8, -0.5), at(4, -0.1)]}, "1 prompt tokens are without"),
        ({"prompt_logprobs": [None, None, at(9, -0.1)]}, "1 prompt tokens are without"),
        ({"index": 1}, "1 was not sent or came twice"),
        ({"index": 7}, "7 was not sent"),
        ({"prompt_logprobs": "none"}, "Expected"),
    ],
)
def test_what_is_missing_is_no_answer(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(MalformedResponse, match=said):
        list(PromptLogprobs(SEQUENCES).feed(answer(**changes)))


def asked(*answers: bytes | int) -> tuple[list[tuple[float, ...]], list[dict[str, Any]]]:
    """Return what a pool returns for `SEQUENCES` from a server with these answers, and the requests it got."""
    left, bodies = list(answers), list[dict[str, Any]]()

    async def respond(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        given = left.pop(0)
        return web.Response(status=given) if isinstance(given, int) else web.Response(body=given)

    async def run() -> list[tuple[float, ...]]:
        application = web.Application()
        application.router.add_post("/v1/completions", respond)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        pool = EndpointPool([f"http://127.0.0.1:{port}"], "m", WordRenderer(), max_model_len=4, retry=FAST_RETRY)
        try:
            return await pool.prompt_logprobs(SEQUENCES)
        finally:
            await pool.aclose()
            await runner.cleanup()

    return asyncio.run(run()), bodies


def test_a_pool_asks_again_after_a_failure_and_after_nonsense() -> None:
    found, bodies = asked(500, b"<html>", answer())
    assert found == [(-0.5, -0.25), (-0.75,)]
    assert len(bodies) == 3
    assert bodies[0] == json.loads(json.dumps(scoring_body("m", SEQUENCES)))


def test_what_cannot_be_had_is_an_error_with_a_cause() -> None:
    with pytest.raises(GenerationError) as caught:
        asked(500, 500, 500)
    assert caught.value.cause == "http_500"


def test_a_sequence_that_leaves_no_room_for_a_token_is_not_sent() -> None:
    async def run() -> None:
        pool = EndpointPool(["http://127.0.0.1:1"], "m", WordRenderer(), max_model_len=3, retry=FAST_RETRY)
        await pool.prompt_logprobs(SEQUENCES)

    with pytest.raises(GenerationError) as caught:
        asyncio.run(run())
    assert caught.value.cause == "context"


@pytest.mark.servers
def test_a_server_says_what_the_model_itself_says(servers: Any) -> None:
    sequences = [(5, 9, 40, 41, 42), (5, 9, 7)]

    async def run() -> list[tuple[float, ...]]:
        pool = EndpointPool.from_specs([servers.teacher])
        try:
            return await pool.prompt_logprobs(sequences)
        finally:
            await pool.aclose()

    found = asyncio.run(run())
    model = AutoModelForCausalLM.from_pretrained(servers.teacher.model, dtype=torch.float32)
    for ids, values in zip(sequences, found, strict=True):
        with torch.no_grad():
            logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = [float(logprobs[place, token]) for place, token in enumerate(ids[1:])]
        assert values == pytest.approx(expected, abs=1e-4)
