"""Requests as other programs send them, to the byte, and what these programs read of the answers.

They were recorded from lm-evaluation-harness 0.4.13 (`local-chat-completions`), langchain-openai 1.7.4 and LiteLLM
1.110.2, which are too heavy to be installed for a test each: 42 packages.
"""

import asyncio
import json

import aiohttp
import pytest

from tests.service.test_agents_requests import Agent
from tests.service.test_service import mentor, serving
from tests.support.chat_api import listening
from trainers.generation.models import api_model

ASKED = {"content": "2 + 2?", "role": "user"}
NUMBERS = {"a": {"type": "integer"}, "b": {"type": "integer"}}
PARAMETERS = {"properties": NUMBERS, "required": ["a", "b"], "type": "object"}
FUNCTION = {"name": "add", "description": "adds", "parameters": PARAMETERS}
TOOLS = [{"type": "function", "function": FUNCTION}]
ARGUMENTS = '{"a": 2, "b": 2}'
OPENAI = {"Accept": "application/json", "User-Agent": "OpenAI/Python 3.54.0", "x-stainless-async": "false"}

HARNESS = {"messages": [{"role": "user", "content": "2 + 2?"}], "model": "small", "max_tokens": 32, "temperature": 0}
LANGCHAIN_CALLED = [
    ASKED,
    {
        "content": None,
        "role": "assistant",
        "tool_calls": [{"type": "function", "id": "c1", "function": {"name": "add", "arguments": ARGUMENTS}}],
    },
    {"content": "4", "role": "tool", "tool_call_id": "c1"},
]
LITELLM_CALLED = [
    ASKED,
    {
        "role": "assistant",
        "tool_calls": [{"function": {"arguments": ARGUMENTS, "name": "add"}, "id": "c1", "type": "function"}],
    },
    {"role": "tool", "tool_call_id": "c1", "name": "add", "content": "4"},
]
RESPONSES_CALLED = [
    {"content": "2 + 2?", "role": "user", "type": "message"},
    {
        "arguments": ARGUMENTS,
        "call_id": "c1",
        "name": "add",
        "type": "function_call",
        "id": "fc_69c51d3b930b43ffa9bb921506efd1d7",
        "status": "completed",
    },
    {"type": "function_call_output", "output": "4", "call_id": "c1"},
]


def text(answer):
    """Read an answer as lm-evaluation-harness does: by the index of each choice."""
    read = [None] * len(answer["choices"])
    for choice in answer["choices"]:
        read[choice["index"]] = choice["message"]["content"]
    return read[0]


def call(answer):
    [called] = answer["choices"][0]["message"]["tool_calls"]
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    return called["function"]["arguments"]


def response_text(answer):
    [item] = answer["output"]
    return item["content"][0]["text"]


def response_call(answer):
    [item] = answer["output"]
    return item["arguments"]


CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
LANGCHAIN = {"model": "small", "stream": False}
SCHEMA = {
    "schema": {"properties": {"answer": {"title": "Answer", "type": "integer"}}, "required": ["answer"]},
    "name": "Answer",
    "strict": True,
}
REQUESTS = {
    "harness": (CHAT, {**HARNESS, "stop": ["\n\n"], "seed": 1234}, text, "seed "),
    "langchain": (CHAT, {**LANGCHAIN, "messages": [{"content": "Be short.", "role": "system"}, ASKED]}, text, "seed "),
    "langchain-fields": (
        CHAT,
        {
            **LANGCHAIN,
            "messages": [ASKED],
            "logprobs": True,
            "max_completion_tokens": 9,
            "n": 2,
            "seed": 3,
            "stop": ["x"],
            "temperature": 0.5,
            "top_logprobs": 2,
        },
        text,
        "seed ",
    ),
    "langchain-schema": (
        CHAT,
        {**LANGCHAIN, "messages": [ASKED], "response_format": {"type": "json_schema", "json_schema": SCHEMA}},
        text,
        "seed ",
    ),
    "langchain-tools": (CHAT, {**LANGCHAIN, "messages": [ASKED], "tools": TOOLS}, call, ARGUMENTS),
    "langchain-forced": (
        CHAT,
        {
            **LANGCHAIN,
            "messages": [ASKED],
            "tool_choice": {"type": "function", "function": {"name": "add"}},
            "tools": [{"type": "function", "function": {**FUNCTION, "strict": True}}],
        },
        call,
        ARGUMENTS,
    ),
    "langchain-result": (CHAT, {**LANGCHAIN, "messages": LANGCHAIN_CALLED, "tools": TOOLS}, text, "seed "),
    "langchain-responses": (
        RESPONSES,
        {
            **LANGCHAIN,
            "input": [
                {"content": "Be short.", "role": "system", "type": "message"},
                {"content": "2 + 2?", "role": "user", "type": "message"},
            ],
        },
        response_text,
        "seed ",
    ),
    "langchain-responses-tools": (
        RESPONSES,
        {**LANGCHAIN, "input": RESPONSES_CALLED[:1], "tools": [{"type": "function", **FUNCTION}]},
        response_call,
        ARGUMENTS,
    ),
    "langchain-responses-result": (
        RESPONSES,
        {**LANGCHAIN, "input": RESPONSES_CALLED, "tools": [{"type": "function", **FUNCTION}]},
        response_text,
        "seed ",
    ),
    "litellm": (CHAT, {"model": "small", "messages": [ASKED]}, text, "seed "),
    "litellm-fields": (
        CHAT,
        {
            "model": "small",
            "messages": [ASKED],
            "temperature": 0.2,
            "top_p": 0.9,
            "n": 2,
            "stop": ["END"],
            "max_tokens": 5,
            "response_format": {"type": "json_object"},
            "seed": 1,
        },
        text,
        "seed ",
    ),
    "litellm-tools": (
        CHAT,
        {"model": "small", "messages": [ASKED], "tools": TOOLS, "tool_choice": "auto"},
        call,
        ARGUMENTS,
    ),
    "litellm-result": (CHAT, {"model": "small", "messages": LITELLM_CALLED, "tools": TOOLS}, text, "seed "),
    "litellm-responses": (RESPONSES, {"model": "small", "input": "2 + 2?"}, response_text, "seed "),
    "litellm-text": (
        "/v1/completions",
        {"model": "small", "prompt": "2 + 2?"},
        lambda answer: answer["choices"][0]["text"],
        "seed ",
    ),
}


async def answers(*requests):
    """The bodies of answers to requests, and the API behind the service."""
    api = Agent()
    async with listening(api) as url, serving(api_model(url, "m", api_key_env=None), mentor, key="secret") as (_, at):
        headers = {**OPENAI, "Authorization": "Bearer secret"}
        got = []
        async with aiohttp.ClientSession() as session:
            for path, body in requests:
                async with session.post(at + path, json=body, headers=headers) as response:
                    assert response.status == 200, await response.text()
                    got.append(await response.text())
        return got, api


@pytest.mark.parametrize("name", REQUESTS)
def test_an_answer_is_what_the_program_reads(name):
    path, body, read, expected = REQUESTS[name]
    [answer], _ = asyncio.run(answers((path, body)))
    parsed = json.loads(answer)
    assert read(parsed).startswith(expected)
    assert all(isinstance(count, int) for name, count in parsed["usage"].items() if name.endswith("tokens"))
    assert parsed["usage"]["total_tokens"] > 0


def test_the_harness_gets_the_same_answer_for_the_same_question():
    # Greedy and with a seed, its results must not depend on when they were made.
    request = (CHAT, {**HARNESS, "stop": ["\n\n"], "seed": 1234})
    got, api = asyncio.run(answers(request, request))
    assert text(json.loads(got[0])) == text(json.loads(got[1]))
    taught = [body for body in api.bodies if "add them" in body["messages"][-1]["content"]]
    assert [(body["temperature"], body["max_tokens"], body["stop"]) for body in taught] == [(0, 32, ["\n\n"])] * 2


@pytest.mark.parametrize(
    ("options", "last"),
    [({}, None), ({"stream_options": {"include_usage": True}}, "usage"), ({"tools": TOOLS}, None)],
)
def test_a_stream_of_langchain_and_litellm_has_the_chunks_that_they_read(options, last):
    [stream], _ = asyncio.run(answers((CHAT, {"model": "small", "messages": [ASKED], "stream": True, **options})))
    *events, done, rest = stream.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    ends = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert ends == ["tool_calls" if "tools" in options else "stop"]
    assert bool(chunks[-1].get("usage")) == (last == "usage")
