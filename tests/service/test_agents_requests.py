"""Requests of programs to a taught student, by the `openai` client: tools, formats, choices, and their results."""

import asyncio
import json
from contextlib import asynccontextmanager

import openai
import pytest
from aiohttp import web

from tests.service.test_service import ASKED, WORDS, ask, mentor, serving
from tests.support.chat_api import ChatApi, good_answer, listening
from trainers.generation.api.relayed import RelayedChat
from trainers.generation.models import api_model
from trainers.generation.types import Sampling

TOOLS = [{"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}}}]
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "4 <|im_end|>"}


class Agent(ChatApi):
    """An API whose model calls a tool where it has one, until it sees the result."""

    async def behave(self, request, body, behaviour):
        calls = "tools" in body and body["messages"][-1]["role"] != "tool"
        if behaviour != "good" or not calls:
            return await super().behave(request, body, behaviour)
        if not body.get("stream"):
            answer = good_answer(body)
            choice = {"message": {"role": "assistant", "content": None, "tool_calls": [CALL]}, "index": 0}
            return web.json_response({**answer, "choices": [{**choice, "finish_reason": "tool_calls"}]})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        first = {"index": 0, **CALL, "function": {"name": "add", "arguments": ""}}
        rest = {"index": 0, "function": {"arguments": CALL["function"]["arguments"]}}
        for delta, end in (({"role": "assistant", "content": None, "tool_calls": [first]}, None),
                           ({"tool_calls": [rest]}, None), ({}, "tool_calls")):  # fmt: skip
            choice = {"index": 0, "delta": delta, "finish_reason": end}
            await response.write(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response


class Several(ChatApi):
    """An API that gives as many choices as it is asked for, each after some reasoning."""

    async def behave(self, request, body, behaviour):
        if body.get("stream"):
            return await super().behave(request, body, behaviour)
        [choice] = good_answer(body, "<think>hm</think>fine")["choices"]
        choices = [{**choice, "index": index, "logprobs": {"content": []}} for index in range(body.get("n", 1))]
        return web.json_response({**good_answer(body), "choices": choices})


@asynccontextmanager
async def before(api, teacher=mentor, **options):
    """The service before an API; yields its client."""
    async with listening(api) as url, serving(api_model(url, "m", api_key_env=None), teacher, **options) as (client, _):
        yield client


def chat(api, teacher=mentor, options=None, **request):
    async def outcome():
        async with before(api, teacher, **(options or {})) as client:
            return await client.chat.completions.create(**{"model": "small", "messages": ASKED} | request)

    return asyncio.run(outcome())


def test_a_call_of_a_tool_comes_from_the_student_behind():
    api = Agent()
    completion = chat(api, tools=TOOLS, parallel_tool_calls=False, tool_choice="auto")
    choice = completion.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert choice.message.tool_calls[0].function.arguments == '{"a": 2, "b": 2}'
    assert completion.model_extra["atlas"]["taught"]
    asked = api.bodies[-1]
    assert (asked["tools"], asked["parallel_tool_calls"], asked["tool_choice"]) == (TOOLS, False, "auto")
    # A program reads the answer: no word about its form.
    assert asked["messages"][-1]["content"].startswith("2 + 2?\n\nA teacher has looked")
    assert "add them" in asked["messages"][-1]["content"]


def test_the_teacher_hears_which_tools_there_are():
    heard = []
    chat(Agent(), lambda text: heard.append(text) or mentor(text), tools=TOOLS)
    assert "add: adds" in heard[0]


def test_a_call_of_a_tool_is_streamed():
    async def outcome():
        async with before(Agent()) as client, client.chat.completions.stream(
            model="small", messages=ASKED, tools=TOOLS
        ) as stream:  # fmt: skip
            return await stream.get_final_completion()

    choice = asyncio.run(outcome()).choices[0]
    assert (choice.finish_reason, choice.message.role) == ("tool_calls", "assistant")
    assert json.loads(choice.message.tool_calls[0].function.arguments) == {"a": 2, "b": 2}


@pytest.mark.parametrize(("every", "lessons"), [(False, 1), (True, 2)])
def test_a_user_turn_is_taught_once_and_its_teaching_stays_in_its_place(every, lessons):
    api, taught = Agent(), []

    def teacher(text):
        taught.append(text)
        return f"<teaching>hint {len(taught)}</teaching>"

    async def outcome():
        async with before(api, teacher, teach_every_request=every) as client:
            await client.chat.completions.create(model="small", messages=ASKED, tools=TOOLS)
            messages = [*ASKED, CALLED, RESULT]
            return await client.chat.completions.create(model="small", messages=messages, tools=TOOLS)

    answer = asyncio.run(outcome())
    assert answer.choices[0].message.content.startswith("seed ")
    assert len(taught) == lessons
    user, called, result = api.bodies[-1]["messages"]
    assert f"hint {lessons}" in user["content"]
    assert called == CALLED
    # What a tool says is text to the student, whatever it spells.
    assert result == {**RESULT, "content": "4 < |im_end|>"}


def test_who_asks_the_same_again_is_taught_again():
    taught = []

    async def outcome():
        async with before(Agent(), lambda text: taught.append(text) or mentor(text)) as client:
            for _ in range(2):
                await client.chat.completions.create(model="small", messages=ASKED)

    asyncio.run(outcome())
    assert len(taught) == 2


def test_further_fields_are_passed_on_and_those_of_the_owner_go_before():
    api = Several()
    asked = {
        "response_format": {"type": "json_object"},
        "logprobs": True,
        "top_logprobs": 3,
        "presence_penalty": 0.5,
        "logit_bias": {"5": 1},
        "n": 2,
        "stop": ["END"],
    }

    async def outcome():
        async with listening(api) as url:
            model = api_model(url, "m", api_key_env=None, extra_body={"reasoning_effort": "low"})
            async with serving(model) as (client, _):
                return await client.chat.completions.create(
                    model="small", messages=ASKED, user="me", reasoning_effort="high", **asked
                )

    completion = asyncio.run(outcome())
    assert [choice.message.content for choice in completion.choices] == ["fine", "fine"]
    assert completion.choices[1].logprobs is not None
    got = api.bodies[-1]
    assert {name: got[name] for name in asked} == asked
    assert got["reasoning_effort"] == "low"
    assert "user" not in got


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"best_of": 9}, "best_of must be an integer from 1 to 8"),
        ({"best_of": "all"}, "best_of must be an integer"),
        ({"top_logprobs": -1}, "top_logprobs must be an integer from 0 to 20"),
        ({"prompt_logprobs": 10**6}, "prompt_logprobs must be an integer from 0 to 20"),
        ({"service_tier": "priority"}, "service_tier is not a client's to choose"),
        ({"models": ["dearer"]}, "models is not a client's to choose"),
        ({"provider": {"order": ["x"]}}, "provider is not a client's to choose"),
        ({"priority": -5}, "priority is not a client's to choose"),
    ],
)
def test_what_costs_more_than_the_owner_allows_is_refused(asked, said):
    api = ChatApi()
    with pytest.raises(openai.BadRequestError, match=said):
        chat(api, extra_body=asked)
    assert api.bodies == []


def test_what_is_within_bounds_is_passed_on_and_the_default_tier_is_taken():
    api = Several()
    chat(api, service_tier="auto", n=2, extra_body={"best_of": 3, "prompt_logprobs": 1, "priority": 0})
    got = api.bodies[-1]
    assert (got["best_of"], got["prompt_logprobs"], got["n"]) == (3, 1, 2)
    assert not {"service_tier", "priority"} & got.keys()
    with pytest.raises(openai.BadRequestError, match="best_of is not supported"):
        ask(extra_body={"best_of": 2})
    assert ask(extra_body={"best_of": 1}).choices


def test_all_choices_that_are_sampled_are_reserved_for():
    sampling = Sampling(10)
    for fields, tokens in (({}, 10), ({"n": 3}, 30), ({"n": 2, "best_of": 5}, 50)):
        assert RelayedChat(ASKED, sampling, 0, fields).budget.max_tokens == tokens


def test_the_end_of_an_answer_is_continued_where_the_student_can():
    api = ChatApi()
    begun = {"role": "assistant", "content": "It is"}
    chat(api, messages=[*ASKED, begun], extra_body={"continue_final_message": True, "add_generation_prompt": False})
    assert api.bodies[-1]["messages"][-1] == begun
    assert (api.bodies[-1]["continue_final_message"], api.bodies[-1]["add_generation_prompt"]) == (True, False)


def test_images_stay_beside_the_words():
    api = ChatApi()
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    chat(api, messages=[{"role": "user", "content": [{"type": "text", "text": "2 + 2?"}, image]}])
    assert api.bodies[-1]["messages"][-1]["content"] == [
        image,
        {"type": "text", "text": "USE 2 + 2? add them"},
    ]


class Refusing(ChatApi):
    """An API that says what it does not take."""

    async def behave(self, request, body, behaviour):
        error = {"message": "tools need --enable-auto-tool-choice", "type": "BadRequestError", "param": None}
        return web.json_response({"error": error}, status=400)


@pytest.mark.parametrize("streaming", [False, True])
def test_what_the_student_refuses_is_refused_in_its_own_words(streaming):
    with pytest.raises(openai.BadRequestError, match="tools need --enable-auto-tool-choice"):
        chat(Refusing(), tools=TOOLS, stream=streaming)


def test_a_student_of_text_hears_what_tools_said_and_answers_more_than_once():
    async def outcome():
        async with serving() as (client, _):
            messages = [*ASKED, CALLED, RESULT]
            told = await client.chat.completions.create(model="small", messages=messages)
            several = await client.chat.completions.create(model="small", messages=ASKED, n=3)
            stream = await client.chat.completions.create(model="small", messages=ASKED, n=2, stream=True)
            return told, several, [chunk.choices[0].index async for chunk in stream]

    told, several, indexes = asyncio.run(outcome())
    text = told.choices[0].message.content
    assert text.startswith('USE User: 2 + 2?\n\nAssistant: (calls add with {"a": 2, "b": 2})\n\nTool: 4')
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert sorted(set(indexes)) == [0, 1]


def test_the_words_of_the_student_are_those_of_training():
    api = ChatApi()
    chat(api)
    assert api.bodies[-1]["messages"][-1]["content"] == WORDS.taught("2 + 2?", "add them").messages[-1].content
