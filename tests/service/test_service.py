"""The service in front of a student, asked by the `openai` client itself: whole and streamed answers, and refusals."""

import asyncio
import json
import os
import signal
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import openai
import pytest
from aiohttp import web

from tests.support.chat_api import ChatApi, listening
from tests.support.fakes import ScriptedModel
from trainers.generation.types import Completion, Generation, GenerationError
from trainers.paths import ROOT
from trainers.service.__main__ import check_address, main, parse, reach
from trainers.service.app import Limits, Service
from trainers.service.errors import BadRequest
from trainers.service.wire import check_text_only, read_request
from trainers.teaching.prompts import PromptTemplates

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
    runner = service.runner(shutdown_timeout=0.01)
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


@pytest.mark.parametrize("streaming", [False, True])
def test_a_teacher_that_takes_too_long_does_not_cost_the_answer(streaming):
    limits = {"limits": Limits(guidance_timeout_s=0.2)}
    if streaming:
        chunks, error = stream(student=student, options={"teacher": sleeps, **limits})
        assert (content(chunks), error) == ("SOLVE 2 + 2?", None)
        metadata = chunks[0].model_extra["atlas"]
    else:
        completion = ask(teacher=sleeps, options=limits)
        assert completion.choices[0].message.content == "SOLVE 2 + 2?"
        metadata = completion.model_extra["atlas"]
    assert (metadata["taught"], metadata["failure"]) == (False, "guidance_timeout")


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
            from trainers.generation.models import api_model

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


def stream(*, student, options=None, **request):
    """The chunks of a streamed answer, and the error that ended it, if one did."""

    async def outcome():
        chunks = []
        async with serving(student, **(options or {})) as (client, _):
            asked = {"model": "small", "messages": ASKED, "stream": True} | request
            try:
                async for chunk in await client.chat.completions.create(**asked):
                    chunks.append(chunk)
            except openai.APIError as error:
                return chunks, error
        return chunks, None

    return asyncio.run(outcome())


def content(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def reason(chunks):
    return [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1]


@dataclass
class Slow(ScriptedModel):
    """Streams what it is asked word by word; its budget ends it."""

    pause_s: float = 0.0

    async def stream_text(self, prompt, *, sampling, seed):
        text = prompt.messages[-1].content
        for word in text.split(" "):
            yield f"{word} "
            await asyncio.sleep(self.pause_s)
        yield Completion(text, (), None, "length", reported_tokens=77)


def guessing(**how):
    return Slow(lambda text, index: "guess", **how)


class Cut(ScriptedModel):
    """Its budget ends every answer."""

    def _generation(self, prompt, n, logprobs):
        return Generation((), (Completion("x" * 40, (), None, "length", reported_tokens=9),) * n)


def test_an_answer_that_its_limit_cut_says_so_streamed_or_not():
    whole = ask(student=Cut(None))
    assert (whole.choices[0].finish_reason, whole.usage.completion_tokens) == ("length", 9)
    for model, tokens in ((Cut(None), 9), (guessing(), 77)):
        chunks, _ = stream(student=model, stream_options={"include_usage": True})
        assert reason(chunks) == "length"
        assert chunks[-1].usage.completion_tokens == tokens


def test_an_answer_ends_at_a_stop_string_streamed_or_not():
    choice = ask(stop=["them", " add"]).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("USE 2 + 2?", "stop")
    chunks, _ = stream(student=guessing(), stop=" add")
    assert (content(chunks), reason(chunks)) == ("USE 2 + 2?", "stop")


def test_a_stream_whose_time_is_over_ends_with_an_error():
    chunks, error = stream(student=guessing(pause_s=0.15), options={"limits": Limits(request_timeout_s=0.4)})
    assert content(chunks).startswith("USE ")
    assert error.body["code"] == "incomplete"
    assert "broke off" in error.message


@pytest.mark.parametrize("how", ["breaks", "fails", "ends"])
def test_a_stream_that_the_student_breaks_off_ends_with_an_error(how):
    async def outcome():
        async with listening(ChatApi("good", how)) as url:
            from trainers.generation.models import api_model

            return await asyncio.to_thread(stream, student=api_model(url, "m", api_key_env=None))

    chunks, error = asyncio.run(outcome())
    assert content(chunks).startswith("seed ")
    assert error.body["code"] == "incomplete"


def test_a_client_that_does_not_read_holds_no_place():
    class Endless(ScriptedModel):
        async def stream_text(self, prompt, *, sampling, seed):
            while True:
                yield "x" * 10**6

    async def outcome():
        async with serving(Endless(lambda *_: "guess"), limits=Limits(request_timeout_s=0.5)) as (_, url):
            _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]), limit=100)
            body = json.dumps({"model": "small", "messages": ASKED, "stream": True}).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await asyncio.sleep(0.3)
            async with aiohttp.ClientSession() as session:
                running = [await running_at(session, url)]
                await asyncio.sleep(3.5)
                running.append(await running_at(session, url))
            writer.transport.abort()
            return running

    assert asyncio.run(outcome()) == [1, 0]


async def running_at(session, url):
    async with session.get(f"{url}/health") as response:
        return (await response.json())["running"]


def test_a_client_that_leaves_frees_its_place():
    async def outcome():
        async with serving(sleeps) as (client, url), aiohttp.ClientSession() as session:
            with pytest.raises(openai.APITimeoutError):
                await client.with_options(timeout=0.3).chat.completions.create(model="small", messages=ASKED)
            await asyncio.sleep(0.1)
            return await running_at(session, url)

    assert asyncio.run(outcome()) == 0


def test_who_asks_again_gets_another_answer_unless_the_seed_is_the_same():
    def seeds(**request):
        model = ScriptedModel(lambda text, index: "guess")
        for _ in range(2):
            ask(student=model, **request)
        return len({call["seed"] for call in model.calls})

    assert seeds() == 4
    assert seeds(seed=-5) == 2


def test_what_clients_ask_for_reaches_the_student_within_the_limits():
    async def outcome(**request):
        api = ChatApi()
        async with listening(api) as url:
            from trainers.generation.models import api_model

            limits = Limits(max_tokens=50)
            async with serving(student=api_model(url, "m", api_key_env=None), limits=limits) as (client, _):
                await client.chat.completions.create(model="small", messages=ASKED, **request)
        return api.bodies[-1]

    asked = asyncio.run(outcome(temperature=0.25, top_p=0.5, max_tokens=7))
    assert (asked["temperature"], asked["top_p"], asked["max_tokens"]) == (0.25, 0.5, 7)
    assert asyncio.run(outcome(max_completion_tokens=10**6))["max_tokens"] == 50
    assert asyncio.run(outcome(seed=1))["seed"] != asyncio.run(outcome(seed=2))["seed"]


def fails(text):
    raise OSError("gone")


def failing(cause):
    return ScriptedModel(lambda text, index: GenerationError("secret", cause))


def broken():
    def bug(text, index):
        raise RuntimeError("secret")

    return ScriptedModel(bug)


async def sleeps(text):
    await asyncio.sleep(5)
    return text


@pytest.mark.parametrize(
    ("how", "error", "status"),
    [
        ({"model": "other"}, openai.NotFoundError, 404),
        ({"n": 9}, openai.BadRequestError, 400),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError, 400),
        ({"messages": []}, openai.BadRequestError, 400),
        ({"temperature": -1}, openai.BadRequestError, 400),
        ({"temperature": 2.5}, openai.BadRequestError, 400),
        ({"max_tokens": 0}, openai.BadRequestError, 400),
        ({"stop": ["a"] * 5}, openai.BadRequestError, 400),
        ({"presence_penalty": 1}, openai.BadRequestError, 400),
        ({"response_format": {"type": "json_object"}}, openai.BadRequestError, 400),
        ({"extra_body": {"stream": "yes"}}, openai.BadRequestError, 400),
        ({"student": failing("context")}, openai.BadRequestError, 400),
        ({"student": failing("http_429")}, openai.RateLimitError, 429),
        ({"student": failing("timeout")}, openai.InternalServerError, 504),
        ({"student": broken()}, openai.InternalServerError, 500),
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
    assert "secret" not in raised.value.message


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"\xff",
        b'"text"',
        b'{"model": "small", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "small", "temperature": NaN, "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "small", "max_completion_tokens": null, "max_tokens": -1, "messages": '
        b'[{"role": "user", "content": "x"}]}',
    ],
)
def test_a_body_that_cannot_be_read_is_refused(body):
    async def outcome():
        async with (
            serving() as (_, url),
            aiohttp.ClientSession() as session,
            session.post(f"{url}/v1/chat/completions", data=body) as response,
        ):
            return response.status, (await response.json())["error"]["code"]

    assert asyncio.run(outcome()) == (400, "invalid_request_error")


def test_what_does_nothing_is_taken():
    polite = {"response_format": {"type": "text"}, "presence_penalty": 0, "n": 1, "tools": [], "logprobs": False}
    assert ask(**polite, user="me", extra_body={"max_completion_tokens": None, "stop": None}).choices
    system = {"role": "system", "content": "Be short."}
    assert ask(messages=[*ASKED, system]).choices[0].message.content == "Be short.\n\nUSE 2 + 2? add them"


def test_the_key_is_asked_for_everywhere_but_at_health():
    async def outcome():
        async with serving(key="secret") as (client, url):
            assert [model.id async for model in await client.models.list()] == ["small"]
            assert (await client.models.retrieve("small")).id == "small"
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve("a/b")
            intruder = client.with_options(api_key="other")
            with pytest.raises(openai.AuthenticationError):
                await intruder.chat.completions.create(model="small", messages=ASKED)
            with pytest.raises(openai.AuthenticationError):
                await intruder.models.list()
            async with aiohttp.ClientSession() as session, session.get(f"{url}/health") as response:
                return response.status, await response.json()

    assert asyncio.run(outcome()) == (200, {"status": "ok", "running": 0})


@pytest.mark.parametrize(
    ("header", "status"),
    [(b"Bearer secret", 200), (b"bearer  secret", 200), (b"Bearer \xff", 401), (b"secret", 401), (b"", 401)],
)
def test_keys_are_read_however_they_are_written(header, status):
    async def outcome():
        async with serving(key="secret") as (_, url):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(b"GET /v1/models HTTP/1.1\r\nHost: h\r\nAuthorization: " + header + b"\r\n\r\n")
            line = await reader.readline()
            writer.close()
            return int(line.split()[1])

    assert asyncio.run(outcome()) == status


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


def test_messages_that_are_none_are_refused():
    for messages in (
        "hello",
        [{"role": "tool", "content": "x"}],
        [{"role": "robot", "content": "x"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": ["x"]}],
        [{"role": "user", "content": "x"}, {"role": "assistant", "content": "", "tool_calls": "f"}],
    ):
        with pytest.raises(BadRequest):
            read_request({"messages": messages})


def test_a_student_that_writes_text_reads_only_text():
    image = read_request({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})
    with pytest.raises(BadRequest, match="reads no image_url"):
        check_text_only(image)
    begun = read_request({"messages": [*ASKED, {"role": "assistant", "content": "It is"}]})
    with pytest.raises(BadRequest, match="cannot continue"):
        check_text_only(begun)


def test_beyond_this_machine_a_key_is_needed():
    for host in ("127.0.0.1", "localhost", "::1"):
        check_address(host, None)
    check_address("0.0.0.0", "secret")
    for host in ("0.0.0.0", "::", "10.0.0.3", "example.com"):
        with pytest.raises(ValueError, match="export ATLAS_SERVE_KEY"):
            check_address(host, None)


def test_options_that_make_no_sense_are_refused(free_port, monkeypatch, capsys):
    monkeypatch.setenv("ATLAS_SERVE_KEY", "")
    models = ["--teacher", "t", "--teacher-url", "http://h/v1", "--student", "s", "--student-url", "http://h/v1"]
    wrong = (["--max-concurrent-requests", "0"], ["--request-timeout-s", "nan"], ["--max-tokens", "x"])
    for option in (*wrong, ["--student-extra-body", "{thinking"], ["--teacher-extra-body", "[1]"]):
        with pytest.raises(SystemExit):
            parse([*models, *option])
        assert option[0] in capsys.readouterr().err
    assert parse([*models, "--max-probe-tokens", "0"]).max_probe_tokens == 0
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    models += ["--teacher-key-env", "OPENAI_API_KEY", "--student-key-env", "OPENAI_API_KEY"]
    assert main([*models, "--host", "0.0.0.0"]) == 2
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port))
        taken.listen()
        assert main([*models, "--port", str(free_port)]) == 2
    assert main([*models, "--port", "99999"]) == 2
    assert capsys.readouterr().err.count("Cannot listen at") == 2


def test_fields_of_ones_own_go_into_the_requests_of_an_api():
    async def outcome():
        api = ChatApi()
        async with listening(api) as url:
            models = ["--teacher", "t", "--teacher-url", url, "--student", "s", "--student-url", url]
            options = parse([*models, "--student-extra-body", '{"chat_template_kwargs": {"enable_thinking": false}}'])
            student, teacher = reach(options, "student"), reach(options, "teacher")
            async with serving(student, teacher=teacher) as (client, _):
                await client.chat.completions.create(model="small", messages=ASKED)
        return [(body["model"], body.get("chat_template_kwargs")) for body in api.bodies]

    assert sorted(set(map(repr, asyncio.run(outcome())))) == [
        "('s', {'enable_thinking': False})",
        "('t', None)",
    ]
    options = parse(["--teacher", "t", "--student", "/no/where", "--student-extra-body", '{"a": 1}'])
    with pytest.raises(ValueError, match=r"--student-extra-body \{\"a\": 1\}.*/no/where.*--student-url"):
        reach(options, "student")


@pytest.mark.slow
@pytest.mark.fault("the service ended by TERM with an answer in flight", "it is finished, status 0")
def test_the_script_serves_until_it_is_stopped_and_ends_what_it_has_begun(free_port):
    async def outcome():
        api = ChatApi(pause_s=0.3)
        async with listening(api) as url:
            command = ["bash", "scripts/serve.sh", "--port", str(free_port), "--host", "127.0.0.1"]
            command += ["--teacher", "t", "--teacher-url", url, "--student", "s", "--student-url", url]
            environment = os.environ | {"ATLAS_SERVE_KEY": "secret", "OPENAI_API_KEY": "other"}
            process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment)
            client = openai.AsyncOpenAI(
                base_url=f"http://127.0.0.1:{free_port}/v1", api_key="secret", max_retries=40, timeout=60
            )
            completion = await client.chat.completions.create(model="s", messages=ASKED)
            asked = len(api.bodies)
            begun = asyncio.ensure_future(client.chat.completions.create(model="s", messages=ASKED))
            while len(api.bodies) == asked:
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            status = await asyncio.wait_for(process.wait(), 60)
            last = await begun
            await client.close()
            return completion, last, status

    completion, last, status = asyncio.run(outcome())
    for answer in (completion, last):
        assert answer.choices[0].message.content.startswith("seed ")
        assert answer.model_extra["atlas"]["failure"] == "teacher_format"
    assert status == 0
