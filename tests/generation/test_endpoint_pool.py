"""Pools against a small in-process server that misbehaves on command: retries, causes, deadlines, load."""

import asyncio
import json
from contextlib import aclosing, asynccontextmanager

import pytest
from aiohttp import web

from trainers.generation.retries import RetryPolicy
from trainers.generation.types import GenerationError, Message, Prompt, Sampling
from trainers.generation.vllm.endpoint import deadline
from trainers.generation.vllm.endpoint_pool import EndpointPool

PROMPT = Prompt((Message("user", "hello"),))
SAMPLING = Sampling(max_tokens=4)
FAST_RETRY = RetryPolicy(attempts=3, first_delay_s=0.01)


class WordRenderer:
    """Stands in for a tokenizer: as many tokens as characters."""

    stop_token_ids = ()

    def render(self, prompt):
        return tuple(range(len(prompt.messages[-1].content)))

    def opened(self, prompt_ids):
        return ""


class Script:
    """A completion server that follows a list of behaviours, then answers well."""

    def __init__(self, *behaviours, pause_s=0.0):
        self.behaviours = list(behaviours)
        self.pause_s = pause_s
        self.bodies = []
        self.concurrent = self.most_concurrent = 0

    async def completions(self, request):
        self.bodies.append(await request.json())
        self.concurrent += 1
        self.most_concurrent = max(self.most_concurrent, self.concurrent)
        try:
            await asyncio.sleep(self.pause_s)
            return await self.behave(request)
        finally:
            self.concurrent -= 1

    async def behave(self, request):
        behaviour = self.behaviours.pop(0) if self.behaviours else "good"
        if isinstance(behaviour, int):
            return web.json_response({"error": {"message": "maximum context length is 8"}}, status=behaviour)
        if behaviour == "hang":
            await asyncio.sleep(2)
        if behaviour == "drop":
            request.transport.close()
        if behaviour == "html":
            return web.Response(text="<html>proxy</html>")
        if behaviour == "short":
            return web.json_response({"choices": []})
        body = self.bodies[-1]
        indices = range(len(body["prompt"]) * body["n"])
        choices = [{"index": i, "text": f"ok {i}", "token_ids": [1, 2], "finish_reason": "stop"} for i in indices]
        if body.get("stream"):
            return await self.stream(request, choices, broken=behaviour == "break")
        return web.json_response({"choices": choices})

    async def stream(self, request, choices, *, broken):
        """The last completion first; a broken stream ends after that one."""
        response = web.StreamResponse()
        await response.prepare(request)
        for choice in reversed(choices):
            await response.write(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
            if broken:
                request.transport.close()
                return response
            await asyncio.sleep(self.pause_s)
        await response.write(b"data: [DONE]\n\n")
        return response


def _list(models):
    async def handler(_):
        return web.json_response({"data": models})

    return handler


@asynccontextmanager
async def serving(*scripts, models=None, **options):
    runners, urls = [], []
    for script in scripts:
        app = web.Application()
        app.router.add_post("/v1/completions", script.completions)
        app.router.add_get("/v1/models", _list(models or []))
        runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        runners.append(runner)
        urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
    settings = {"max_model_len": 64, "retry": FAST_RETRY, "request_timeout_s": 0.5} | options
    pool = EndpointPool(urls, "m", WordRenderer(), **settings)
    try:
        yield pool
    finally:
        await pool.aclose()
        for runner in runners:
            await runner.cleanup()


def run(script, *, calls=1, prompts=(PROMPT,), n=1, **options):
    """Outcomes of concurrent calls to a pool of one scripted server, and the pool."""

    async def outcome():
        async with serving(script, **options) as pool:
            generations = [pool.generate(prompts, n=n, sampling=SAMPLING, seed=1) for _ in range(calls)]
            return await asyncio.gather(*generations, return_exceptions=True), pool

    return asyncio.run(outcome())


@pytest.mark.parametrize("behaviour", [500, 503, 429, "drop", "html", "short", "hang"])
def test_what_may_pass_is_tried_again(behaviour):
    script = Script(behaviour)
    (generations,), pool = run(script)
    assert generations[0].completions[0].token_ids == (1, 2)
    assert len(script.bodies) == 2
    assert script.bodies[0] == script.bodies[1]
    assert pool.traffic.retries == 1
    assert not pool.traffic.failures


@pytest.mark.parametrize(
    ("behaviour", "cause", "requests"),
    [
        (500, "http_500", 3),
        ("drop", "connection", 3),
        ("short", "garbage", 3),
        ("html", "garbage", 3),
        ("hang", "timeout", 3),
        (404, "http_404", 1),
        (400, "context", 1),
    ],
)
def test_what_does_not_pass_is_an_error_with_its_cause(behaviour, cause, requests):
    script = Script(*[behaviour] * 3)
    (error,), pool = run(script)
    assert isinstance(error, GenerationError)
    assert error.cause == cause
    assert len(script.bodies) == requests
    assert pool.traffic.failures == {cause: 1}


def test_of_failures_with_one_cause_the_first_is_told_and_the_others_are_counted(caplog):
    (first, *_), pool = run(Script(*[404] * 3), calls=3)
    assert pool.traffic.failures == {"http_404": 3}
    assert caplog.messages == [f"{first}; given up, and from now on only counted (http_404)"]


def test_a_prompt_without_room_to_answer_is_refused_before_it_is_sent():
    script = Script()
    long = Prompt((Message("user", "x" * 61),))
    (error,), _ = run(script, prompts=(PROMPT, long))
    assert error.cause == "context"
    assert "61 tokens" in str(error)
    assert error.told.startswith("A prompt of 61 tokens and 4 tokens to generate do not fit into the context of 64 ")
    assert "http" not in error.told
    assert not script.bodies


def test_pools_beside_each_other_take_turns_at_their_servers_together():
    async def outcome():
        script = Script(pause_s=0.05)
        async with serving(script, max_concurrent_requests=2) as pool:
            url = pool.endpoints[0].base_url
            other = EndpointPool([url], "m", WordRenderer(), max_model_len=64, max_concurrent_requests=2, beside=pool)
            calls = [one.generate([PROMPT], n=1, sampling=SAMPLING, seed=1) for one in (pool, other) * 4]
            try:
                await asyncio.gather(*calls)
            finally:
                await other.aclose()
        return script, other.endpoints is pool.endpoints, (pool.traffic.requests, other.traffic.requests)

    script, shared, requests = asyncio.run(outcome())
    assert (script.most_concurrent, shared, requests) == (2, True, (4, 4))


def test_the_context_is_asked_of_the_server_when_nobody_told_it():
    script = Script()
    (error,), _ = run(script, max_model_len=None, models=[{"id": "other", "max_model_len": 99}])
    assert error.cause == "models"
    (generations,), _ = run(script, max_model_len=None, models=[{"id": "m", "max_model_len": 9}])
    assert len(generations) == 1


def test_several_prompts_travel_in_one_request_and_traffic_is_counted():
    script = Script()
    (generations,), pool = run(script, prompts=(PROMPT, PROMPT), n=3)
    assert len(script.bodies) == 1
    assert [len(generation.completions) for generation in generations] == [3, 3]
    assert (pool.traffic.requests, pool.traffic.prompt_tokens, pool.traffic.generated_tokens) == (1, 10, 12)


def test_completions_in_flight_are_limited():
    script = Script(pause_s=0.02)
    outcomes, _ = run(script, calls=12, n=2, max_concurrent_requests=6)
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert script.most_concurrent == 3


def stream(script, *, n=4, sampling=SAMPLING, take=None, **options):
    """Members in the order in which a stream brings them, what it ended with, and the pool."""

    async def outcome():
        async with serving(script, **options) as pool:
            members, end = [], None
            try:
                async with aclosing(pool.stream(PROMPT, n=n, sampling=sampling, seed=1)) as samples:
                    async for member, sample in samples:
                        members.append((member, sample.completion.text))
                        if len(members) == take:
                            break
            except GenerationError as error:
                end = error.cause
            return members, end, pool

    return asyncio.run(outcome())


def test_a_stream_brings_each_completion_when_it_ends():
    script = Script(pause_s=0.02)
    members, end, pool = stream(script)
    assert members == [(3, "ok 3"), (2, "ok 2"), (1, "ok 1"), (0, "ok 0")]
    assert end is None
    assert (pool.traffic.requests, pool.traffic.generated_tokens, pool.endpoints[0].load) == (1, 8, 0)
    assert 0.06 < pool.endpoints[0].busy_s < 1


def test_a_stream_that_breaks_is_asked_for_again_and_what_it_brought_is_kept():
    script = Script("break", 503)
    members, end, pool = stream(script)
    assert sorted(members) == [(i, f"ok {i}") for i in range(4)]
    assert end is None
    assert len({json.dumps(body) for body in script.bodies}) == 1
    assert (pool.traffic.retries, pool.traffic.generated_tokens) == (2, 8)


def test_a_stream_that_goes_on_breaking_ends_with_the_cause_after_what_it_brought():
    members, end, pool = stream(Script(*["break"] * 3))
    assert members == [(3, "ok 3")]
    assert end == "connection"
    assert pool.traffic.failures == {"connection": 1}
    assert pool.endpoints[0].load == 0


def test_a_greedy_stream_is_one_completion_for_every_member():
    script = Script()
    members, *_ = stream(script, sampling=Sampling(4, temperature=0))
    assert members == [(i, "ok 0") for i in range(4)]
    assert script.bodies[0]["n"] == 1


def test_a_stream_may_take_longer_than_it_may_be_silent():
    # Each of eight completions comes 0.2 s after the one before.
    members, end, pool = stream(Script(pause_s=0.2), n=8)
    assert (len(members), end, pool.traffic.retries) == (8, None, 0)


def test_a_silent_stream_is_given_up(caplog):
    members, end, _ = stream(Script(pause_s=2), n=2)
    assert (members, end) == ([], "timeout")
    assert "was silent for 0.5 s; raise request_timeout_s" in caplog.text


@pytest.mark.parametrize(
    ("body", "total", "silence"),
    [
        ({"stream": True, "max_tokens": 32_000}, None, 600),
        ({"max_tokens": 2048}, 600, None),
        ({"max_tokens": 32_000}, 3200, None),
    ],
)
def test_what_comes_whole_has_time_by_its_length(body, total, silence):
    limit = deadline(body, 600)
    assert (limit.total, limit.sock_read) == (total, silence)


def test_a_stream_that_nobody_reads_on_is_cut_off_and_makes_room():
    script = Script(pause_s=0.2)
    members, _, pool = stream(script, take=1, max_concurrent_requests=4)
    assert len(members) == 1
    assert pool.endpoints[0].load == 0
    assert pool._turns.in_flight == 0


def test_cancelling_a_call_closes_its_connection():
    async def outcome():
        script = Script("hang")
        async with serving(script, request_timeout_s=5) as pool:
            call = asyncio.create_task(pool.generate([PROMPT], n=1, sampling=SAMPLING, seed=1))
            while not script.concurrent:
                await asyncio.sleep(0.01)
            call.cancel()
            await asyncio.wait([call])
            for _ in range(50):
                await asyncio.sleep(0.01)
                if not script.concurrent:
                    return pool.endpoints[0].load, call.cancelled()
        raise AssertionError("the server still works on a request that was cancelled")

    assert asyncio.run(outcome()) == (0, True)


def test_the_least_loaded_server_is_chosen_and_a_failed_one_avoided():
    async def outcome():
        good, bad = Script(pause_s=0.05), Script(*[500] * 9, pause_s=0.05)
        async with serving(good, bad) as pool:
            calls = [pool.generate([PROMPT], n=1, sampling=SAMPLING, seed=i) for i in range(4)]
            await asyncio.gather(*calls)
            return len(good.bodies), len(bad.bodies)

    assert asyncio.run(outcome()) == (4, 2)


def test_a_server_that_is_not_there_is_a_connection_failure(free_port):
    async def outcome():
        pool = EndpointPool([f"http://127.0.0.1:{free_port}"], "m", WordRenderer(), max_model_len=64, retry=FAST_RETRY)
        try:
            await pool.generate([PROMPT], n=1, sampling=SAMPLING, seed=1)
        finally:
            await pool.aclose()

    with pytest.raises(GenerationError) as raised:
        asyncio.run(outcome())
    assert raised.value.cause == "connection"


def test_generations_carry_the_weight_version_of_their_pool():
    async def outcome():
        async with serving(Script()) as pool:
            pool.weight_version = 5
            return await pool.generate([PROMPT], n=1, sampling=SAMPLING, seed=1)

    assert asyncio.run(outcome())[0].weight_version == 5


def test_a_server_that_has_ended_is_waited_for_once_and_found_when_it_is_back(free_port, caplog):
    async def outcome():
        async with serving(Script()) as other:
            pool = EndpointPool(
                [f"http://127.0.0.1:{free_port}"], "m", WordRenderer(), max_model_len=64, retry=FAST_RETRY
            )
            for _ in range(3):
                with pytest.raises(GenerationError, match="cannot be reached"):
                    await pool.generate([PROMPT], n=1, sampling=SAMPLING, seed=1)
            tried = pool.traffic.requests
            pool.endpoints[0].base_url = other.endpoints[0].base_url
            await pool.generate([PROMPT], n=1, sampling=SAMPLING, seed=1)
            await pool.aclose()
            return tried, pool.endpoints[0].is_silent

    assert asyncio.run(outcome()) == (FAST_RETRY.attempts + 1 + 1, False)
    assert caplog.text.count("its requests have 3 attempts each") == 1


def test_a_server_that_has_ended_is_asked_last(free_port):
    script = Script()

    async def outcome():
        async with serving(script) as other:
            urls = [f"http://127.0.0.1:{free_port}", other.endpoints[0].base_url]
            pool = EndpointPool(urls, "m", WordRenderer(), max_model_len=64, retry=FAST_RETRY)
            for _ in range(3):
                await pool.generate([PROMPT], n=1, sampling=SAMPLING, seed=1)
            await pool.aclose()
            return pool.traffic.retries

    assert asyncio.run(outcome()) == 1
    assert len(script.bodies) == 3
