"""The chat format: what is sent, and how every kind of answer is read."""

from dataclasses import replace
from typing import Any

import pytest

from trainers.generation.api.tool_calls import UNREADABLE
from trainers.generation.api.wire import (
    Dialect,
    chat_request,
    prompt_bound,
    prompt_estimate,
    read_answer,
    refused_parameter,
    sample_seed,
)
from trainers.generation.types import GenerationError, MalformedResponse, Message, Prompt, Sampling, ToolCall

PROMPT = Prompt((Message("system", "Be short."), Message("user", "2 + 2?")))


def request(sampling=None, dialect=None, **extra_body):
    return chat_request(
        "m", PROMPT, sampling or Sampling(16, 0.7, 0.9), 5, dialect=dialect or Dialect(), extra_body=extra_body
    )


def answer(content="4", reason="stop", usage=(7, 1), **message):
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": reason}
    counts = {"prompt_tokens": usage[0], "completion_tokens": usage[1]} if usage else None
    return {"choices": [choice], "usage": counts}


def test_a_request_states_conversation_sampling_and_seed():
    assert request() == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "2 + 2?"}],
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 16,
        "seed": 5,
        "extra_body": {},
    }


def test_control_tokens_that_a_message_spells_are_broken():
    spelled = "4</s><|im_end|> [INST] <start_of_turn> <\uff5cUser\uff5c> a < b <b>c</b> [1] |x|"
    prompt = Prompt((Message("system", spelled), Message("user", spelled)))
    sent = chat_request("m", prompt, Sampling(16), 5, dialect=Dialect(), extra_body={})
    broken = "4< /s>< |im_end|> [ INST] < start_of_turn> < \uff5cUser\uff5c> a < b <b>c</b> [1] |x|"
    assert {message["content"] for message in sent["messages"]} == {broken}
    assert prompt_bound(prompt) > 2 * len(broken.encode())


def test_other_truncations_are_sent_where_they_do_something():
    assert request(Sampling(16, top_k=20, min_p=0.1))["extra_body"] == {"top_k": 20, "min_p": 0.1}
    assert request(Sampling(16, repetition_penalty=1.1), x=1)["extra_body"] == {"repetition_penalty": 1.1, "x": 1}


def test_an_api_may_name_the_budget_otherwise_and_take_no_seed():
    renamed = Dialect().without("max_tokens")
    assert request(dialect=renamed)["max_completion_tokens"] == 16
    assert "max_tokens" not in request(dialect=renamed)
    assert "seed" not in request(dialect=renamed.without("seed"))
    assert renamed.without("max_tokens") is None
    assert renamed.without("seed").without("seed") is None
    assert Dialect().without("messages") is None


@pytest.mark.parametrize("parameter", ["temperature", "top_p", "seed", "top_k", "min_p", "repetition_penalty"])
def test_an_api_may_refuse_every_parameter_of_sampling(parameter):
    sampling = Sampling(16, 0.7, 0.9, top_k=20, min_p=0.1, repetition_penalty=1.1)
    kept, left = request(sampling), request(sampling, Dialect().without(parameter))
    assert (kept | kept["extra_body"]).keys() - (left | left["extra_body"]).keys() == {parameter}


def test_what_the_user_adds_to_requests_is_not_dropped():
    assert request(dialect=Dialect().without("top_k"), top_k=5)["extra_body"] == {"top_k": 5}


@pytest.mark.parametrize(
    ("named", "text", "parameter"),
    [
        ("temperature", "Unsupported value: 'temperature' does not support 0.7 with this model.", "temperature"),
        ("max_tokens", "Unsupported parameter: 'max_tokens' is not supported with this model.", "max_tokens"),
        (None, "`temperature` is deprecated for this model.", "temperature"),
        (None, "Unrecognized request argument supplied: seed", "seed"),
        (None, '{"detail":[{"loc":["body","seed"],"msg":"Extra inputs are not permitted"}]}', "seed"),
        (None, '{"error": "{\\"msg\\": \\"unknown field \\\\"top_p\\\\"\\"}"}', "top_p"),
        ("temperature", "Invalid 'temperature': decimal above maximum value. Expected <= 2, got 3.", None),
        (None, "temperature must be non-negative", None),
        (None, "The content type 'image' is not supported", None),
    ],
)
def test_an_api_refuses_a_parameter_or_its_value(named, text, parameter):
    assert refused_parameter(named, text) == parameter


def test_half_a_character_can_be_written_and_sent():
    for content in ("four \ud83d", [{"type": "text", "text": "four \ud83d"}]):
        assert read_answer(answer(content, usage=None), PROMPT).completion.text == "four ?"


def test_samples_have_seeds_of_their_own():
    seeds = [sample_seed(seed, i) for seed in (5, 6) for i in range(8)]
    assert len(set(seeds)) == 16
    assert seeds[0] == 5
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_an_answer_has_text_end_and_the_tokens_charged_for():
    read = read_answer(answer("four", "length", (12, 9)), PROMPT)
    assert (read.completion.text, read.completion.truncated) == ("four", True)
    assert (read.prompt_tokens, read.completion.tokens) == (12, 9)
    assert read.completion.token_ids == ()
    assert read.completion.logprobs is None


def test_reasoning_beside_the_text_is_left_out_but_charged_for():
    read = read_answer(answer("4", usage=(7, 90), reasoning_content="Let me think."), PROMPT)
    assert (read.completion.text, read.completion.tokens) == ("4", 90)
    cut = read_answer(answer(None, "length", (7, 16), reasoning_content="Let me"), PROMPT)
    assert (cut.completion.text, cut.completion.tokens, cut.completion.truncated) == ("", 16, True)


def test_text_may_come_in_parts():
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "fo"}, {"type": "text", "text": "ur"}]
    assert read_answer(answer(parts), PROMPT).completion.text == "four"


def test_tokens_that_are_not_counted_are_estimated():
    read = read_answer(answer("a" * 40, usage=None), PROMPT)
    assert read.completion.tokens == 10
    assert read.prompt_tokens == prompt_estimate(PROMPT) == 3 + 2 + 2 * 8
    assert prompt_bound(PROMPT) == 9 + 6 + 2 * 32


def test_reasoning_that_only_the_total_counts_is_charged_for():
    given = answer("4")
    given["usage"]["total_tokens"] = 7 + 90
    assert read_answer(given, PROMPT).completion.tokens == 90
    given["usage"]["total_tokens"] = 7 + 1
    assert read_answer(given, PROMPT).completion.tokens == 1


def test_ends_have_other_names_at_some_apis():
    assert not read_answer(answer("4", "eos"), PROMPT).completion.truncated
    assert read_answer(answer("4", "model_length"), PROMPT).completion.truncated


@pytest.mark.parametrize("given", [answer(None, "content_filter"), answer(None, "stop", refusal="I will not.")])
def test_withheld_text_is_a_failure_of_its_own(given):
    with pytest.raises(GenerationError) as raised:
        read_answer(given, PROMPT)
    assert raised.value.cause == "content_filter"


@pytest.mark.parametrize(
    "given",
    [
        {},
        [],
        "text",
        None,
        {"choices": []},
        {"choices": [None]},
        {"choices": [{"message": None, "finish_reason": "stop"}]},
        answer("4", None),
        answer("4", "tool_calls"),
        answer([{"type": "text"}]),
        answer([3]),
    ],
)
def test_anything_else_is_malformed(given):
    with pytest.raises(MalformedResponse):
        read_answer(given, PROMPT)


def test_tools_and_their_turns_are_sent_and_read_as_chat_apis_have_them() -> None:
    asked = ToolCall("add", {"a": 1, "b": "<|im_end|>"}, "call_1")
    messages = (
        Message("user", "How many?"),
        Message("assistant", "", calls=(asked,)),
        Message("tool", "2", call=asked),
    )
    tool = {"type": "function", "function": {"name": "add", "description": "Add.", "parameters": {}}}
    prompt = Prompt(messages, (tool,))
    request = chat_request("m", prompt, Sampling(5), 0, dialect=Dialect(), extra_body={})
    assert request["tools"] == [tool]
    assert "tool_choice" not in request
    function = {"name": "add", "arguments": '{"a": 1, "b": "< |im_end|>"}'}
    assert request["messages"][1]["tool_calls"] == [{"type": "function", "id": "call_1", "function": function}]
    assert request["messages"][2] == {"role": "tool", "content": "2", "tool_call_id": "call_1"}
    probe = chat_request("m", replace(prompt, may_act=False), Sampling(5), 0, dialect=Dialect(), extra_body={})
    assert probe["tool_choice"] == "none"
    assert prompt_bound(prompt) > prompt_bound(Prompt(messages)) > prompt_bound(Prompt(messages[:1]))

    message = {"content": None, "tool_calls": request["messages"][1]["tool_calls"]}
    answer = read_answer({"choices": [{"message": message, "finish_reason": "tool_calls"}]}, prompt)
    read = ToolCall("add", {"a": 1, "b": "< |im_end|>"}, "call_1")
    assert (answer.completion.calls, answer.completion.finish_reason) == ((read,), "stop")


@pytest.mark.parametrize("arguments", ["{", "[1]", "7"])
def test_arguments_that_are_no_object_are_kept_for_the_model_to_be_told(arguments: str) -> None:
    message = {"content": "", "tool_calls": [{"id": "x", "function": {"name": "add", "arguments": arguments}}]}
    answer = read_answer({"choices": [{"message": message, "finish_reason": "tool_calls"}]}, Prompt(()))
    assert answer.completion.calls == (ToolCall("add", {UNREADABLE: arguments}, "x"),)


@pytest.mark.parametrize("calls", ["text", [1], [{"id": "x"}], [{"function": {"arguments": "{}"}}], 5])
def test_tool_calls_that_are_none_are_a_malformed_answer(calls: Any) -> None:
    with pytest.raises(MalformedResponse):
        read_answer(
            {"choices": [{"message": {"content": "", "tool_calls": calls}, "finish_reason": "stop"}]}, Prompt(())
        )


def test_a_schema_is_asked_for_as_a_strict_response_format():
    assert request(Sampling(16, json_schema='{"type": "object"}'))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": {"type": "object"}},
    }
    assert "response_format" not in request(Sampling(16))
