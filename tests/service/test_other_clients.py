"""Clients beside the chat: browsers, collectors of figures, `/v1/completions`, and requests that name no model."""

import asyncio

import aiohttp
import httpx
import openai
import pytest
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

from tests.service.test_service import ASKED, ask, serving, student
from tests.support.chat_api import ChatApi, listening
from trainers.generation.models import api_model
from trainers.generation.types import GenerationError
from trainers.service.__main__ import check_model, main
from trainers.service.app import Limits
from trainers.service.network.cross_origin import Origins

PAGE = "https://chat.example.com"


def completion(*, options=None, student=student, **request):
    async def outcome():
        async with serving(student, **(options or {})) as (client, _):
            answer = await client.completions.create(**{"model": "small", "prompt": "2 + 2?"} | request)
            return [chunk async for chunk in answer] if request.get("stream") else answer

    return asyncio.run(outcome())


def test_a_prompt_is_answered_as_a_question_is():
    answer = completion(stop=" them")
    assert (answer.object, answer.choices[0].text) == ("text_completion", "USE 2 + 2? add")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model_extra["atlas"]["taught"]
    assert [choice.text for choice in completion(prompt=["3?"], n=2).choices] == ["USE 3? add them"] * 2
    chunks = completion(stream=True, stream_options={"include_usage": True})
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == "USE 2 + 2? add them"
    assert chunks[-1].usage.completion_tokens > 0


@pytest.mark.parametrize("wrong", [{"prompt": [1, 2]}, {"prompt": ["a", "b"]}, {"prompt": ""}, {"echo": True}])
def test_what_only_a_bare_model_gives_is_refused(wrong):
    with pytest.raises(openai.BadRequestError, match=r"is not supported|must be one text"):
        completion(**wrong)


@pytest.mark.parametrize("model", ["", None])
def test_a_request_without_a_model_is_for_the_only_one(model):
    assert ask(model=model).model == "small"

    async def outcome():
        async with (
            serving() as (_, url),
            aiohttp.ClientSession() as session,
            session.post(f"{url}/v1/chat/completions", json={"messages": ASKED}) as response,
        ):
            return response.status

    assert asyncio.run(outcome()) == 200


def test_a_page_of_a_browser_may_call_with_the_key():
    asks = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}

    async def outcome():
        async with serving(key="secret") as (_, url), aiohttp.ClientSession() as session:
            async with session.options(f"{url}/v1/chat/completions", headers=asks) as before:
                assert before.status == 204
                assert "Authorization" in before.headers["Access-Control-Allow-Headers"]
            told = []
            for key, streaming in (("secret", False), ("secret", True), ("other", False)):
                headers = {"Origin": PAGE, "Authorization": f"Bearer {key}"}
                body = {"messages": ASKED, "stream": streaming}
                async with session.post(f"{url}/v1/chat/completions", headers=headers, json=body) as response:
                    told.append((response.status, response.headers["Access-Control-Allow-Origin"]))
            return told

    assert asyncio.run(outcome()) == [(200, PAGE), (200, PAGE), (401, PAGE)]


@pytest.mark.parametrize(
    ("allowed", "keyed", "origin", "admitted"),
    [
        ((), True, PAGE, True),
        ((), False, PAGE, False),
        ((), False, "http://localhost:3000", True),
        ((), False, "http://127.0.0.1", True),
        ((), False, "http://localhost.example.com", False),
        ((), False, "null", False),
        ((PAGE,), False, PAGE, True),
        ((PAGE,), True, "https://other.example.com", False),
        (("*",), False, PAGE, True),
        (("*",), True, None, False),
    ],
)
def test_pages_that_may_call(allowed, keyed, origin, admitted):
    headers = Origins(allowed, keyed=keyed).headers(origin)
    assert (headers.get("Access-Control-Allow-Origin") == origin) is (admitted or origin is None)
    assert bool(headers) is admitted


def test_figures_are_counted():
    async def outcome():
        async with serving(key="secret") as (client, url), aiohttp.ClientSession() as session:
            await client.chat.completions.create(model="small", messages=ASKED)
            with pytest.raises(openai.BadRequestError):
                await client.chat.completions.create(model="small", messages=[])
            await session.get(f"{url}/no/where")
            async with session.get(f"{url}/metrics", headers={"Authorization": "Bearer secret"}) as response:
                return response.headers["Content-Type"], await response.text()

    kind, text = asyncio.run(outcome())
    assert kind.startswith("text/plain; version=0.0.4")
    lines = text.splitlines()
    for line in (
        'atlas_requests_total{path="/v1/chat/completions",status="200"} 1.0',
        'atlas_requests_total{path="/v1/chat/completions",status="400"} 1.0',
        'atlas_requests_total{path="other",status="401"} 1.0',
        'atlas_request_seconds_count{path="/v1/chat/completions"} 2.0',
        'atlas_lessons_total{outcome="taught"} 1.0',
        "atlas_requests_running 0.0",
    ):
        assert line in lines


def test_a_path_that_is_not_there_is_named():
    async def outcome():
        async with serving() as (client, _):
            await client.embeddings.create(model="small", input="x")

    with pytest.raises(openai.NotFoundError, match="There is no /v1/embeddings here"):
        asyncio.run(outcome())


class Short(ChatApi):
    """An API whose context is small."""

    async def behave(self, request, body, behaviour):
        from aiohttp import web

        # As vLLM says it, which has more to say than a log should hold.
        message = (
            "This model's maximum context length is 512 tokens. However, you requested 24 output tokens and your "
            "prompt contains at least 9000 input tokens, for a total of at least 9024 tokens. Please reduce the length "
            "of the input prompt or the number of requested output tokens. (parameter=input_tokens, value=9000)"
        )
        error = {"message": message, "code": "context_length_exceeded", "param": None}
        return web.json_response({"error": error}, status=400)


def test_a_question_that_is_too_long_is_told_both_numbers():
    async def behind_an_api():
        async with listening(Short()) as url, serving(api_model(url, "m", api_key_env=None)) as (client, _):
            await client.chat.completions.create(model="small", messages=ASKED)

    with pytest.raises(openai.BadRequestError, match=r"512.*9000 input.*value=9000\)") as raised:
        asyncio.run(behind_an_api())
    assert raised.value.code == "context_length_exceeded"

    def too_long(text):
        raise GenerationError("at /secret", "context", told="A prompt of 700 tokens and 50 do not fit into 512")

    with pytest.raises(openai.BadRequestError, match=r"700 tokens and 50 .* 512") as raised:
        ask(student=too_long)
    assert "secret" not in raised.value.message


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("results/no/such/teacher", "no config.json"),
        (".", "no config.json"),
        ("~/nowhere", "no config.json"),
        ("not a name", "neither a directory nor an id"),
        ("somebody/that-is-not-cached", "the hub cannot be reached"),
    ],
)
def test_a_mistyped_model_is_told_before_any_library_asks_the_hub(name, said, monkeypatch):
    def unreachable(*_, **__):
        raise httpx.ConnectTimeout("no network")

    monkeypatch.setattr("trainers.service.__main__.HfApi.model_info", unreachable)
    with pytest.raises(ValueError, match=said) as raised:
        check_model("teacher", name)
    assert f"--teacher {name}" in str(raised.value)
    assert "--teacher-url" in str(raised.value)


def test_an_id_that_the_hub_does_not_have_is_told(monkeypatch):
    def answers(status, error):
        def model_info(*_, **__):
            raise error("no", response=httpx.Response(status, request=httpx.Request("GET", "http://hub")))

        monkeypatch.setattr("trainers.service.__main__.HfApi.model_info", model_info)

    answers(404, RepositoryNotFoundError)
    with pytest.raises(ValueError, match="the hub has no model of that id"):
        check_model("student", "somebody/typo")
    for status, error in ((403, GatedRepoError), (500, HfHubHTTPError)):
        answers(status, error)
        check_model("student", "somebody/gated")


def test_both_models_are_looked_for_before_either_is_loaded(monkeypatch, capsys, tmp_path):
    loaded = []
    monkeypatch.setattr("trainers.service.__main__.local_model", loaded.append)
    (tmp_path / "config.json").write_text("{}")
    assert main(["--teacher", str(tmp_path), "--student", "./no/where"]) == 2
    assert "--student ./no/where" in capsys.readouterr().err
    assert loaded == []


def test_a_system_message_that_the_chat_template_refuses_is_refused_in_its_words():
    def refuses(text):
        raise GenerationError("at /secret", "template", told="The chat template does not take this conversation")

    with pytest.raises(openai.BadRequestError, match="chat template does not take"):
        ask(student=refuses, messages=[{"role": "system", "content": "Be short."}, *ASKED])


@pytest.mark.slow
def test_a_student_of_this_process_streams_token_by_token(tiny_student_dir):
    from trainers.generation.local.model import LocalModel

    async def outcome():
        model = LocalModel.load(str(tiny_student_dir), dtype="float32", device="cpu")
        async with serving(model, limits=Limits(max_tokens=24, max_probe_tokens=4)) as (client, _):
            asked = {"model": "small", "messages": ASKED, "seed": 3}
            whole = await client.chat.completions.create(**asked)
            stream = await client.chat.completions.create(**asked, stream=True)
            return whole, [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]

    whole, pieces = asyncio.run(outcome())
    assert "".join(filter(None, pieces)).strip() == whole.choices[0].message.content
    assert len(list(filter(None, pieces))) > 4
