"""Requests and answers of `/v1/completions`, without a server."""

import json
from dataclasses import replace

import pytest

from trainers.generation.types import MalformedResponse, Sampling
from trainers.generation.vllm.completions import Completions, EventStream, distinct_completions, request_body

SAMPLING = Sampling(max_tokens=4, temperature=0.7)
GREEDY = Sampling(max_tokens=4, temperature=0)
PROMPTS = [(1, 2), (3,)]


def choice(index, **changes):
    made = {
        "index": index,
        "text": f"text {index}",
        "token_ids": [10 + index, 2],
        "finish_reason": "stop",
        "logprobs": {"token_logprobs": [-0.5, -0.25], "tokens": ["a", "b"], "top_logprobs": [{}, {}]},
        "prompt_logprobs": None,
    }
    return made | changes


def document(*choices):
    return json.dumps({"id": "cmpl-1", "choices": choices, "usage": {"total_tokens": 9}}).encode()


def feed(*documents, count=4, logprobs=True):
    """All completions of the documents by index, and how many are missing."""
    completions = Completions(count, SAMPLING.max_tokens, logprobs)
    return {index: made for each in documents for index, made in completions.feed(each)}, completions.missing


def test_completions_are_known_by_their_index_not_by_their_order():
    made, missing = feed(document(*(choice(index) for index in (3, 1, 0, 2))))
    assert missing == 0
    assert {index: completion.token_ids for index, completion in made.items()} == {i: (10 + i, 2) for i in range(4)}
    assert made[0].logprobs == (-0.5, -0.25)
    assert made[0].text == "text 0"
    assert feed(document(choice(0)), logprobs=False)[0][0].logprobs is None


def test_pieces_are_joined_and_a_completion_comes_with_its_last_one():
    first = choice(1, text="one ", token_ids=[7], finish_reason=None, logprobs={"token_logprobs": [-1.0]})
    second = choice(1, text="two", token_ids=[8, 9], finish_reason="length")
    empty = choice(0, text="", token_ids=[], finish_reason="stop", logprobs={"token_logprobs": []})
    begun = choice(0, text="x", token_ids=[5], finish_reason=None, logprobs={"token_logprobs": [-2.0]})
    assert feed(document(first), document(begun))[1] == 4
    made, missing = feed(document(first), document(begun), document(second), document(empty))
    assert list(made) == [1, 0]
    assert (made[1].text, made[1].token_ids, made[1].logprobs) == ("one two", (7, 8, 9), (-1.0, -0.5, -0.25))
    assert made[1].truncated
    assert (made[0].text, made[0].token_ids) == ("x", (5,))
    assert missing == 2


def test_events_are_cut_out_of_whatever_chunks_arrive():
    stream = b'data: {"a": 1}\n\ndata: {"b": 2}\n\ndata: [DONE]\n\n'
    for size in (1, 3, 7, len(stream)):
        events = EventStream()
        chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert [event for chunk in chunks for event in events.feed(chunk)] == [b'{"a": 1}', b'{"b": 2}']


def test_every_sampling_parameter_is_stated_and_logprobs_are_asked_for_only_when_wanted():
    body = request_body("m", PROMPTS, n=2, sampling=SAMPLING, seed=5, logprobs=False)
    assert body["prompt"] == PROMPTS
    assert (body["n"], body["seed"], body["temperature"], body["max_tokens"]) == (2, 5, 0.7, 4)
    assert {"top_p", "top_k", "min_p", "repetition_penalty", "return_token_ids"} <= set(body)
    assert "logprobs" not in body
    assert request_body("m", PROMPTS, n=2, sampling=SAMPLING, seed=5, logprobs=True)["logprobs"] == 0


def test_a_short_streamed_answer_is_asked_for_in_whole_completions():
    body = request_body("m", PROMPTS[:1], n=2, sampling=SAMPLING, seed=5, logprobs=True, stream=True)
    assert (body["stream"], body["stream_interval"]) == (True, 4)
    assert "stream" not in request_body("m", PROMPTS, n=2, sampling=SAMPLING, seed=5, logprobs=True)


def test_a_long_stream_shows_signs_of_life_before_its_end():
    long = Sampling(max_tokens=32_000, temperature=0.7)
    body = request_body("m", PROMPTS[:1], n=2, sampling=long, seed=5, logprobs=True, stream=True)
    assert body["stream_interval"] == 512


def test_greedy_completions_are_asked_for_once():
    assert request_body("m", PROMPTS, n=3, sampling=GREEDY, seed=5, logprobs=False)["n"] == 1
    assert [distinct_completions(3, sampling) for sampling in (GREEDY, SAMPLING)] == [1, 3]


@pytest.mark.parametrize(
    "changes",
    [
        {"token_ids": []},
        {"token_ids": [1, 2, 3, 4, 5]},
        {"token_ids": None},
        {"token_ids": ["1"]},
        {"finish_reason": "abort"},
        {"logprobs": None},
        {"logprobs": {"token_logprobs": [-0.5]}},
        {"logprobs": {"token_logprobs": [-0.5, float("nan")]}},
        {"logprobs": {"token_logprobs": [-0.5, None]}},
        {"index": 4},
        {"index": 1},
        {"text": None},
    ],
)
def test_a_completion_that_is_not_what_was_asked_for_is_malformed(changes):
    with pytest.raises(MalformedResponse):
        feed(document(choice(0), choice(1), choice(2) | changes))


@pytest.mark.parametrize(
    "answer", [b"{}", b"[]", b"null", b'{"choices": "many"}', b"<html>", b"\xff", b'{"error": {"message": "no"}}', b""]
)
def test_an_answer_without_completions_is_malformed(answer):
    with pytest.raises(MalformedResponse):
        feed(answer)


def test_completions_that_never_came_are_missing():
    assert feed(document(choice(0), choice(2)))[1] == 2
    assert feed(document())[1] == 4


def test_a_schema_is_asked_for_only_where_there_is_one():
    held = request_body("m", PROMPTS, n=1, sampling=replace(SAMPLING, json_schema="{}"), seed=5, logprobs=False)
    assert held["structured_outputs"] == {"json": "{}"}
    assert "structured_outputs" not in request_body("m", PROMPTS, n=1, sampling=SAMPLING, seed=5, logprobs=False)
