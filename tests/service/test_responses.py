"""`/v1/responses`, asked by the `openai` client: texts, tools, formats, streams, and what would need a memory."""

import asyncio
import json

import openai
import pydantic
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from tests.service.test_agents_requests import Agent, Refusing, before
from tests.service.test_service import Cut, mentor, serving, student
from tests.support.chat_api import ChatApi
from trainers.service.errors import BadRequest
from trainers.service.forms.responses import as_response, chat_of_response

ADD = {
    "type": "function",
    "name": "add",
    "description": "adds",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    "strict": False,
}


def respond(*, api=None, student=student, **request):
    """A response, streamed ones as their events; from a student in process, or one behind an API."""

    async def outcome():
        async with serving(student) if api is None else before(api) as got:
            client = got[0] if api is None else got
            answer = await client.responses.create(**{"model": "small", "input": "2 + 2?"} | request)
            return [event async for event in answer] if request.get("stream") else answer

    return asyncio.run(outcome())


def test_a_text_is_answered_with_the_lesson():
    answer = respond(instructions="Be short.", metadata={"mine": "1"}, max_output_tokens=50)
    assert answer.output_text == "Be short.\n\nUSE 2 + 2? add them"
    assert (answer.status, answer.object, answer.model) == ("completed", "response", "small")
    assert answer.id.startswith("resp_")
    assert answer.model_extra["atlas"]["teaching"] == "add them"
    assert answer.usage.output_tokens > 0
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert (answer.instructions, answer.metadata, answer.max_output_tokens) == ("Be short.", {"mine": "1"}, 50)
    # All that the client's types demand is there.
    assert Response.model_validate(answer.model_dump()).output[0].type == "message"


def test_the_history_comes_as_messages_of_either_form():
    conversation = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": "Hello"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi", "annotations": []}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"role": "user", "content": [{"type": "input_text", "text": "2 + 2?"}]},
    ]
    text = respond(input=conversation).output_text
    assert text == "Be short.\n\nUSE User: Hello\n\nAssistant: Hi\n\nUser: 2 + 2? add them"


def test_what_an_answer_says_can_be_sent_again():
    async def outcome():
        async with serving() as (client, _):
            asked = [{"role": "user", "content": "2 + 2?"}]
            first = await client.responses.create(model="small", input=asked)
            asked += [item.model_dump() for item in first.output]
            return await client.responses.create(model="small", input=[*asked, {"role": "user", "content": "Sure?"}])

    text = asyncio.run(outcome()).output_text
    assert text == "USE User: 2 + 2?\n\nAssistant: USE 2 + 2? add them\n\nUser: Sure? add them"


def test_a_tool_is_called_and_its_result_comes_back():
    api = Agent()

    async def outcome():
        async with before(api) as client:
            asked = [{"role": "user", "content": "2 + 2?"}]
            how = {"model": "small", "tools": [ADD], "tool_choice": {"type": "function", "name": "add"}}
            called = await client.responses.create(**how, input=asked, parallel_tool_calls=False)
            [call] = called.output
            result = {"type": "function_call_output", "call_id": call.call_id, "output": "4"}
            told = await client.responses.create(**how, input=[*asked, call, result])
            return called, call, told

    called, call, told = asyncio.run(outcome())
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "add", {"a": 2, "b": 2})
    assert (called.output_text, called.status, called.tools[0].name) == ("", "completed", "add")
    assert Response.model_validate(called.model_dump()).parallel_tool_calls is False
    assert told.output_text.startswith("seed ")
    first, last = (body for body in api.bodies if "tools" in body)
    function = {name: value for name, value in ADD.items() if name != "type"}
    assert first["tools"] == [{"type": "function", "function": function}]
    assert first["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    assert first["parallel_tool_calls"] is False
    user, assistant, tool = last["messages"]
    assert "add them" in user["content"]
    assert assistant["content"] is None
    assert assistant["tool_calls"] == [
        {"id": call.call_id, "type": "function", "function": {"name": "add", "arguments": call.arguments}}
    ]
    assert tool == {"role": "tool", "tool_call_id": call.call_id, "content": "4"}


def test_a_text_is_streamed_in_the_events_of_the_client():
    api = ChatApi()
    events = respond(api=api, stream=True)
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1].response
    assert last.output_text == "".join(event.delta for event in events if event.type.endswith("delta"))
    assert last.output_text == f"seed {api.bodies[-1]['seed']}"
    assert last.usage.output_tokens > 0
    assert events[0].response.model_extra["atlas"]["taught"]
    for event in events:
        # The classes of the client demand every field that they name.
        try:
            type(event).model_validate(event.model_dump())
        except pydantic.ValidationError as error:
            raise AssertionError(event.type) from error


def test_a_call_of_a_tool_is_streamed():
    async def outcome():
        asked = {"model": "small", "input": "2 + 2?", "tools": [ADD]}
        async with before(Agent()) as client, client.responses.stream(**asked) as stream:
            kinds = [event.type async for event in stream]
            return kinds, await stream.get_final_response()

    kinds, final = asyncio.run(outcome())
    [call] = final.output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "add", {"a": 2, "b": 2})
    assert "response.function_call_arguments.delta" in kinds
    assert "response.output_text.delta" not in kinds


class Json(ChatApi):
    """A model that answers in the form that it is asked for."""

    def text(self, body):
        return '{"answer": 4}' if "response_format" in body else super().text(body)


def test_an_answer_has_the_form_that_is_asked_for():
    class Answer(BaseModel):
        answer: int

    api = Json()

    async def outcome():
        async with before(api) as client:
            return await client.responses.parse(
                model="small", input="2 + 2?", text_format=Answer, reasoning={"effort": "low"}
            )

    assert asyncio.run(outcome()).output_parsed == Answer(answer=4)
    form = api.bodies[-1]["response_format"]
    assert (form["type"], form["json_schema"]["name"], form["json_schema"]["strict"]) == ("json_schema", "Answer", True)
    assert form["json_schema"]["schema"]["required"] == ["answer"]
    assert api.bodies[-1]["reasoning_effort"] == "low"


def test_an_image_stays_beside_the_words():
    api = ChatApi()
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}
    respond(api=api, input=[{"role": "user", "content": [{"type": "input_text", "text": "2 + 2?"}, image]}])
    picture, words = api.bodies[-1]["messages"][-1]["content"]
    assert picture == {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}
    assert words["text"] == "USE 2 + 2? add them"


def test_an_answer_that_its_budget_cut_off_is_incomplete():
    answer = respond(student=Cut(None))
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert [item.status for item in answer.output] == ["incomplete"]
    events = respond(student=Cut(None), stream=True)
    [done] = [event.item for event in events if event.type == "response.output_item.done"]
    assert (done.status, events[-1].response.output[0].status) == ("incomplete", "incomplete")


def test_of_an_answer_that_was_cut_off_the_last_call_is_incomplete():
    function = {"name": "add", "arguments": '{"a": 2'}
    calls = [{"id": f"c{place}", "type": "function", "function": function} for place in range(2)]
    choice = {"message": {"content": None, "tool_calls": calls}, "finish_reason": "length"}
    answer = {"id": "chatcmpl-1", "created": 1, "model": "small", "choices": [choice]}
    assert [item["status"] for item in as_response(answer, {})["output"]] == ["completed", "incomplete"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id is not supported: send the whole conversation"),
        ({"conversation": "conv_1"}, "conversation is not supported"),
        ({"background": True}, "background is not supported"),
        ({"store": True}, "store is not supported: leave it out, or false"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt is not supported"),
        ({"truncation": "auto"}, "truncation is not supported"),
        ({"top_logprobs": 3}, "top_logprobs is not supported"),
        ({"include": ["file_search_call.results"]}, "include of 'file_search_call.results' is not supported"),
        ({"tools": [{"type": "web_search"}]}, "A tool of type 'web_search' is not supported"),
        ({"tools": [ADD]}, "tools is not supported: the student behind this service writes text"),
        ({"tools": [ADD], "tool_choice": {"type": "allowed_tools"}}, "tool_choice must be none, auto"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "An item of type 'item_reference'"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "A part of type 'input_file'"),
        ({"input": []}, "input must be a text, or a list"),
        ({"input": [7]}, "An item of type None"),
        ({"input": [{"role": "robot", "content": "x"}]}, "Every message needs a role"),
        ({"instructions": 7}, "instructions must be a text"),
        ({"max_output_tokens": 0}, "max_output_tokens must be an integer"),
    ],
)
def test_what_needs_a_memory_or_is_malformed_is_refused_by_name(asked, said):
    with pytest.raises(openai.BadRequestError, match=said):
        respond(**asked)


def test_what_asks_for_nothing_is_taken():
    nothing = {"store": False, "previous_response_id": None, "truncation": "disabled", "tools": []}
    assert respond(**nothing, include=["reasoning.encrypted_content"], prompt_cache_key="k").output_text
    with pytest.raises(BadRequest, match="must be a JSON object"):
        chat_of_response([])


@pytest.mark.parametrize("streaming", [False, True])
def test_what_the_student_refuses_is_refused_in_its_own_words(streaming):
    with pytest.raises(openai.BadRequestError, match="tools need --enable-auto-tool-choice"):
        respond(api=Refusing(), tools=[ADD], stream=streaming)


def test_a_stream_that_breaks_off_is_an_error_of_the_client():
    with pytest.raises(openai.APIError, match="broke off"):
        respond(api=ChatApi("good", "breaks"), stream=True)


def test_a_turn_that_goes_on_is_taught_once():
    taught, api = [], Agent()

    async def outcome():
        async with before(api, lambda text: taught.append(text) or mentor(text)) as client:
            asked = [{"role": "user", "content": "2 + 2?"}]
            called = await client.responses.create(model="small", input=asked, tools=[ADD])
            result = {"type": "function_call_output", "call_id": "c1", "output": "4"}
            await client.responses.create(model="small", input=[*asked, *called.output, result], tools=[ADD])

    asyncio.run(outcome())
    assert len(taught) == 1
