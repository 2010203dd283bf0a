"""The service before a real `vllm serve` with its parser of tool calls, and before one that was started without."""

import asyncio
import json
from contextlib import asynccontextmanager

import openai
import pytest
from transformers import AutoTokenizer

from tests.service.test_service import ASKED, mentor, serving
from tests.support.tiny import write_tiny_model
from trainers.generation.models import api_model
from trainers.serving.processes.server_group import ServerGroup
from trainers.serving.run_token import RUN_TOKEN
from trainers.serving.server_spec import ServerSpec

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(900)]

HERMES = (
    "{% if tools %}<|im_start|>system\nCall functions within <tool_call></tool_call>:\n"
    "{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content or '' }}"
    "{% for call in message.tool_calls or [] %}<tool_call>\n{{ call.function | tojson }}\n</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A chat template in the manner of Hermes' and Qwen's, which tells of tools, their calls and their results."""

# A model that was never trained writes numbers without end, unless there are only so many; vLLM holds it to the
# parameters of a strict function only.
NUMBERS = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}
FUNCTION = {"name": "add", "description": "adds", "parameters": NUMBERS, "strict": True}
ADD = {"type": "function", "function": FUNCTION}
TERSE = ("--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}')
"""Otherwise it writes blanks between the parts of a call until its budget is used up."""

THIS_ONE = {"type": "function", "function": {"name": "add"}}
WRITTEN = r'<tool_call>\n\{"name": "add", "arguments": \{"a": [12]\}\}\n</tool_call>'


@pytest.fixture(scope="module")
def calling(tmp_path_factory):
    """A server whose model is told of tools, and whose calls are parsed."""
    from tests.support.free_ports import consecutive_free_ports

    directory = write_tiny_model(tmp_path_factory.mktemp("calling") / "model", seed=3)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.chat_template = HERMES
    tokenizer.save_pretrained(directory)
    spec = ServerSpec(
        *("student", 0, str(directory), "127.0.0.1", consecutive_free_ports(1)),
        dtype="float32",
        max_model_len=1024,
        max_num_seqs=8,
        kv_cache_bytes=64 * 2**20,
        extra_args=("--enable-auto-tool-choice", "--tool-call-parser", "hermes", *TERSE),
    )
    with ServerGroup([spec], tmp_path_factory.mktemp("logs"), start_timeout_s=600):
        yield spec


@asynccontextmanager
async def before(spec, teacher=mentor):
    student = api_model(f"{spec.base_url}/v1", spec.model, api_key_env=RUN_TOKEN)
    async with serving(student, teacher) as (client, _):
        yield client


def chat(spec, **request):
    async def outcome():
        async with before(spec) as client:
            asked = {"model": "small", "messages": ASKED, "max_tokens": 200, "seed": 1} | request
            answer = await client.chat.completions.create(**asked)
            return [chunk async for chunk in answer] if request.get("stream") else answer

    return asyncio.run(outcome())


def arguments_of(calls):
    return [(call.function.name, json.loads(call.function.arguments)["a"] in (1, 2)) for call in calls]


def test_a_function_that_is_asked_for_is_called(calling):
    answer = chat(calling, tools=[ADD], tool_choice=THIS_ONE)
    assert arguments_of(answer.choices[0].message.tool_calls) == [("add", True)]
    assert answer.model_extra["atlas"]["teaching"] == "add them"


def test_what_the_model_writes_is_parsed_as_a_call(calling):
    # What is strict would be written by vLLM's own rule of a call, in place of ours.
    loose = {"type": "function", "function": {**FUNCTION, "strict": False}}
    choice = chat(calling, tools=[loose], extra_body={"structured_outputs": {"regex": WRITTEN}}).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert arguments_of(choice.message.tool_calls) == [("add", True)]


def test_a_call_is_streamed(calling):
    chunks = chat(calling, tools=[ADD], tool_choice=THIS_ONE, stream=True)
    deltas = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert [delta.function.name for delta in deltas if delta.function.name] == ["add"]
    assert json.loads("".join(delta.function.arguments or "" for delta in deltas))["a"] in (1, 2)


def test_tools_and_their_results_reach_the_models_template(calling):
    called = chat(calling, tools=[ADD], tool_choice=THIS_ONE)
    call = called.choices[0].message
    history = [*ASKED, call, {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "4"}]
    alone = chat(calling).usage.prompt_tokens
    told = chat(calling, messages=history, tools=[ADD], tool_choice="none")
    assert alone < called.usage.prompt_tokens < told.usage.prompt_tokens


def test_a_response_calls_a_function(calling):
    async def outcome():
        async with before(calling) as client:
            tool = {"type": "function", **FUNCTION}
            choice = {"type": "function", "name": "add"}
            asked = {"input": "2 + 2?", "tools": [tool], "tool_choice": choice, "max_output_tokens": 200}
            return await client.responses.create(model="small", **asked)

    [call] = asyncio.run(outcome()).output
    assert (call.type, call.name) == ("function_call", "add")
    assert json.loads(call.arguments)["a"] in (1, 2)


def test_a_question_that_is_too_long_is_told_both_numbers(calling):
    with pytest.raises(openai.BadRequestError, match=r"1024 tokens.*\d{4}") as raised:
        chat(calling, messages=[{"role": "user", "content": "apples " * 4000}])
    assert raised.value.code == "context_length_exceeded"


def test_a_server_without_a_parser_refuses_tools_in_its_own_words(servers):
    with pytest.raises(openai.BadRequestError, match="--enable-auto-tool-choice"):
        chat(servers.student, tools=[ADD], tool_choice="auto")
