"""Rollouts in bad weather: lessons that survive are those of a calm day, the others are excluded and counted."""

import asyncio
import hashlib
import json
import random
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from threading import Event

import pytest
from aiohttp import web

from trainers.concurrency.event_loop import EventLoopThread
from trainers.generation.retries import RetryPolicy
from trainers.generation.types import Sampling
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.grpo.rollouts import RolloutRunner, training_rows
from trainers.teaching.lesson import Question
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.protocol import Protocol, Stages
from trainers.teaching.reward import AdaptiveTeachingReward
from trainers.teaching.verifiers import build_verifier

TEMPLATES = PromptTemplates("SOLVE {question}", "PROBE {question}", "TEACH {question} {approach}", "USE {teaching}")
STAGES = Stages(Sampling(40), Sampling(40), Sampling(40))
WEATHER = ["hang", "error", "drop", "garbage", "short"]
CAUSES = {"timeout", "http_503", "connection", "garbage"}
HASTY = RetryPolicy(attempts=3, first_delay_s=0.01, max_delay_s=0.01)
QUESTIONS = [Question(row, f"q{row}", "1") for row in range(12)]


class Letters:
    """Stands in for a tokenizer: a token is a character."""

    stop_token_ids = ()

    def render(self, prompt):
        return tuple(map(ord, prompt.messages[-1].content))

    def opened(self, prompt_ids):
        return ""

    def spells_control(self, text):
        return False


class Weather:
    """A model server whose completions depend on prompt and seed alone, and which misbehaves a share of the time.

    How it treats a request depends on the request and on how often it was sent, not on what else is going on.
    """

    def __init__(self, share, answer, forgiving_after=10**6):
        self.share = share
        self.answer = answer
        self.forgiving_after = forgiving_after
        self.sent = Counter()
        self.seen = Counter()

    async def completions(self, request):
        raw = await request.read()
        body, attempt = json.loads(raw), self.sent[raw]
        self.sent[raw] += 1
        rng = random.Random(f"{raw!r}/{attempt}")
        trouble = rng.choice(WEATHER) if rng.random() < self.share and attempt < self.forgiving_after else None
        self.seen[trouble] += 1
        if trouble == "hang":
            await asyncio.sleep(5)
        if trouble == "error":
            return web.Response(status=503, text="busy")
        if trouble == "garbage":
            return web.Response(text="<html>a proxy</html>")
        choices = [self.choice(body, index, trouble) for index in range(body["n"] * len(body["prompt"]))]
        if not body.get("stream"):
            if trouble == "drop":
                request.transport.close()
            return web.json_response({"choices": choices})
        response = web.StreamResponse()
        await response.prepare(request)
        rng.shuffle(choices)
        for number, choice in enumerate(choices):
            if trouble == "drop" and number == len(choices) // 2:
                request.transport.close()
                break
            await response.write(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
            await asyncio.sleep(0.005 * rng.random())
        return response

    def choice(self, body, index, trouble):
        prompt = "".join(map(chr, body["prompt"][index // body["n"]]))
        digest = hashlib.sha256(f"{prompt}/{body['seed'] + index % body['n']}".encode()).digest()
        text = self.answer(prompt, digest[0])
        ids = [] if trouble == "short" else list(digest[: 5 + digest[1] % 20])
        return {
            "index": index,
            "text": text,
            "token_ids": ids,
            "finish_reason": "stop",
            "logprobs": {"token_logprobs": [-token / 100 for token in ids]},
        }


def student(prompt, number):
    return f"guess {number % 4}" if prompt.startswith("PROBE") else f"<solution>{number % 3}</solution>"


def teacher(prompt, number):
    return "no tags" if number % 9 == 0 else f"<teaching>way {'abc'[number % 3]}</teaching>"


@asynccontextmanager
async def listening(weather):
    app = web.Application()
    app.router.add_post("/v1/completions", weather.completions)
    runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def rollout(share, before=nullcontext, retry=HASTY, request_timeout_s=0.6, **options):
    """The rollout of all questions with servers of their own thread, and the servers.

    `before` opens what stands before a server of an address, and yields the address to ask.
    """
    servers = {"student": Weather(share, student, **options), "teacher": Weather(share, teacher, **options)}
    urls = {}

    async def serve(ready):
        async with AsyncExitStack() as open_ones:
            for role, server in servers.items():
                url = await open_ones.enter_async_context(listening(server))
                urls[role] = await open_ones.enter_async_context(before(url))
            ready.set()
            await asyncio.Event().wait()

    thread, ready = EventLoopThread(), Event()
    stop = thread.start(serve(ready))
    assert ready.wait(5)
    pools = {
        role: EndpointPool([url], "m", Letters(), max_model_len=500, request_timeout_s=request_timeout_s, retry=retry)
        for role, url in urls.items()
    }
    verifier = build_verifier("exact")
    protocol = Protocol(pools["student"], TEMPLATES, verifier, AdaptiveTeachingReward(), STAGES, seed=1)
    runner = RolloutRunner(protocol, pools["teacher"], [pools["student"]], len)
    try:
        return runner.run(QUESTIONS, step=2, num_generations=6, num_baselines=2), pools, servers
    finally:
        runner.close()
        stop.cancel()
        thread.cancel_all()
        thread.close()


@pytest.fixture(scope="module")
def calm():
    return rollout(0.0)[0]


def lessons_of(made):
    return {(group.prepared.question.row, lesson.member): lesson for group in made.groups for lesson in group.lessons}


def test_a_calm_day_loses_nothing_and_says_what_it_took(calm):
    assert [group.dropped for group in calm.groups] == [None] * 12
    metrics = calm.metrics()
    stages = [metrics[f"generated_tokens/{stage}"] for stage in ("baseline", "approach", "teaching", "taught")]
    assert all(stages)
    assert sum(stages) == metrics["generated_tokens"]
    assert all(0 < metrics[f"servers_idle/{role}"] < 1 for role in ("teacher", "student"))


def test_weather_that_passes_changes_nothing(calm):
    made, pools, servers = rollout(0.5, forgiving_after=2)
    assert made.groups == calm.groups
    assert set(WEATHER) <= set(servers["student"].seen + servers["teacher"].seen)
    assert all(pool.traffic.retries and not pool.traffic.failures for pool in pools.values())


def test_lessons_that_survive_are_those_of_a_calm_day_and_the_others_are_excluded_and_counted(calm):
    made, pools, _ = rollout(0.5)
    expected, lost = lessons_of(calm), Counter()
    for group in made.groups:
        for lesson in group.lessons:
            if group.dropped is None and lesson.failure is None:
                assert lesson == expected[lesson.prepared.question.row, lesson.member]
            else:
                assert lesson.reward is None or group.dropped is not None
                lost[lesson.failure or group.dropped] += 1
    assert 0 < lost.total() < 72
    assert {cause.partition("_")[2] for cause in lost} - {"few_lessons"} <= CAUSES
    failures = sum((pool.traffic.failures for pool in pools.values()), Counter())
    assert failures
    assert set(failures) <= CAUSES
    rows = training_rows(made.groups, filler_id=0)
    assert sum(row.trained for row in rows) == 72 - lost.total()


def test_all_seeds_and_so_all_lessons_are_the_same_again(calm):
    assert rollout(0.0)[0].groups == calm.groups
