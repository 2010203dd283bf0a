"""The service in front of a student, asked by the `openai` client itself: whole and streamed answers, and refusals."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import openai
import pytest
from aiohttp import web

from tests.chat_api import ChatApi, listening
from trainers.service.__main__ import check_address
from trainers.service.app import Limits, Service
from trainers.service.wire import BadRequest, read_request
from trainers.teaching.prompts import PromptTemplates

ROOT = Path(__file__).resolve().parents[1]
WORDS = PromptTemplates(
    "SOLVE {question}", "PROBE {question}", "TEACH {question} {approach}", "USE {question} {teaching}"
)
LONG = [{"role": "user", "content": "x" * 300}]
ASKED = [{"role": "user", "content": "2 + 2?"}]


def student(text):
    return "guess" if "PROBE" in text else text


def mentor(text):
    return "<thinking>hm</thinking><teaching>add them</teaching>"


@asynccontextmanager
async def serving(student=student, teacher=mentor, **options):
    service = Service(teacher, student, "small", templates=WORDS, **options)
    runner = web.AppRunner(service.application(), shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=options.get("key") or "none", max_retries=0)
    try:
        yield client, url
    finally:
        await client.close()
        await runner.cleanup()


def ask(*, student=student, teacher=mentor, options=None, **request):
    async def outcome():
        async with serving(student, teacher, **(options or {})) as (client, _):
            return await client.chat.completions.create(**{"model": "small", "messages": ASKED} | request)

    return asyncio.run(outcome())


def test_the_client_gets_the_taught_answer_and_its_metadata():
    completion = ask()
    assert completion.choices[0].message.content == "USE 2 + 2? add them"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == "small"
    assert completion.usage.completion_tokens > 0
    assert completion.model_extra["atlas"] == {
        "taught": True,
        "approach": "guess",
        "teaching": "add them",
        "guidance_tokens": completion.model_extra["atlas"]["guidance_tokens"],
        "failure": None,
    }


def test_where_the_teacher_fails_the_student_answers_all_the_same():
    completion = ask(teacher=lambda text: "no tags")
    assert completion.choices[0].message.content == "SOLVE 2 + 2?"
    assert completion.model_extra["atlas"]["failure"] == "teacher_format"


def test_system_messages_reach_the_student_and_turns_are_told():
    messages = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": [{"type": "text", "text": "2 + 2?"}]},
    ]
    text = ask(messages=messages).choices[0].message.content
    assert text == "Be short.\n\nUSE User: Hello\n\nAssistant: Hi\n\nUser: 2 + 2? add them"


def test_a_stream_is_that_of_the_student():
    async def outcome():
        api = ChatApi()
        async with listening(api) as url:
            from trainers.connect import api_model

            model = api_model(url, "m", api_key_env=None)
            async with serving(student=model) as (client, _):
                stream = await client.chat.completions.create(
                    model="small", messages=ASKED, stream=True, stream_options={"include_usage": True}
                )
                return [chunk async for chunk in stream], api

    chunks, api = asyncio.run(outcome())
    assert chunks[0].model_extra["atlas"]["teaching"] == "add them"
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert pieces == ["seed ", str(api.bodies[-1]["seed"])]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.completion_tokens > 0
    assert api.bodies[-1]["messages"][-1]["content"] == "USE 2 + 2? add them"


def test_what_clients_ask_for_reaches_the_student_within_the_limits():
    async def outcome(**request):
        api = ChatApi()
        async with listening(api) as url:
            from trainers.connect import api_model

            limits = Limits(max_tokens=50)
            async with serving(student=api_model(url, "m", api_key_env=None), limits=limits) as (client, _):
                await client.chat.completions.create(model="small", messages=ASKED, **request)
        return api.bodies[-1]

    asked = asyncio.run(outcome(temperature=0.25, max_tokens=7))
    assert (asked["temperature"], asked["max_tokens"]) == (0.25, 7)
    assert asyncio.run(outcome(max_completion_tokens=10**6))["max_tokens"] == 50
    assert asyncio.run(outcome(seed=1))["seed"] != asyncio.run(outcome(seed=2))["seed"]


def fails(text):
    raise OSError("gone")


async def sleeps(text):
    await asyncio.sleep(5)
    return text


@pytest.mark.parametrize(
    ("how", "error", "status"),
    [
        ({"model": "other"}, openai.NotFoundError, 404),
        ({"n": 2}, openai.BadRequestError, 400),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError, 400),
        ({"messages": []}, openai.BadRequestError, 400),
        ({"temperature": -1}, openai.BadRequestError, 400),
        ({"student": fails}, openai.InternalServerError, 502),
        ({"student": fails, "stream": True}, openai.InternalServerError, 502),
        ({"student": sleeps, "options": {"limits": Limits(request_timeout_s=0.2)}}, openai.InternalServerError, 504),
        ({"messages": LONG, "options": {"limits": Limits(max_body_bytes=200)}}, openai.APIStatusError, 413),
    ],
)
def test_refusals_are_what_the_client_expects(how, error, status):
    with pytest.raises(error) as raised:
        ask(**how)
    assert raised.value.status_code == status
    assert raised.value.body["message"]


def test_the_key_is_asked_for_everywhere_but_at_health():
    async def outcome():
        async with serving(key="secret") as (client, url):
            assert [model.id async for model in await client.models.list()] == ["small"]
            intruder = client.with_options(api_key="other")
            with pytest.raises(openai.AuthenticationError):
                await intruder.chat.completions.create(model="small", messages=ASKED)
            with pytest.raises(openai.AuthenticationError):
                await intruder.models.list()
            async with aiohttp.ClientSession() as session, session.get(f"{url}/health") as response:
                return response.status, await response.json()

    assert asyncio.run(outcome()) == (200, {"status": "ok", "running": 0})


def test_more_requests_than_allowed_are_sent_away():
    async def slow(text):
        await asyncio.sleep(0.3)
        return text

    async def outcome():
        async with serving(student=slow, limits=Limits(max_concurrent_requests=2)) as (client, _):
            calls = [client.chat.completions.create(model="small", messages=ASKED) for _ in range(5)]
            return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = asyncio.run(outcome())
    refused = [outcome for outcome in outcomes if isinstance(outcome, openai.RateLimitError)]
    assert len(refused) == 3
    assert refused[0].response.headers["retry-after"] == "1"


def test_only_text_is_read():
    for messages in (
        "hello",
        [{"role": "tool", "content": "x"}],
        [{"role": "user", "content": [{"type": "image_url"}]}],
    ):
        with pytest.raises(BadRequest):
            read_request({"messages": messages})


def test_beyond_this_machine_a_key_is_needed():
    for host in ("127.0.0.1", "localhost", "::1"):
        check_address(host, None)
    check_address("0.0.0.0", "secret")
    for host in ("0.0.0.0", "::", "10.0.0.3", "example.com"):
        with pytest.raises(ValueError, match="export ATLAS_SERVE_KEY"):
            check_address(host, None)


@pytest.mark.slow
def test_the_script_serves_until_it_is_stopped(free_port):
    async def outcome():
        async with listening(ChatApi()) as url:
            command = ["bash", "scripts/serve.sh", "--port", str(free_port), "--host", "127.0.0.1"]
            command += ["--teacher", "t", "--teacher-url", url, "--student", "s", "--student-url", url]
            environment = os.environ | {"ATLAS_SERVE_KEY": "secret"}
            process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment)
            client = openai.AsyncOpenAI(
                base_url=f"http://127.0.0.1:{free_port}/v1", api_key="secret", max_retries=40, timeout=60
            )
            completion = await client.chat.completions.create(model="s", messages=ASKED)
            await client.close()
            process.send_signal(signal.SIGTERM)
            return completion, await asyncio.wait_for(process.wait(), 60)

    completion, status = asyncio.run(outcome())
    assert completion.choices[0].message.content.startswith("seed ")
    assert completion.model_extra["atlas"]["failure"] == "teacher_format"
    assert status == 0
