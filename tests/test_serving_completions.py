"""Requests and answers of `/v1/completions`, without a server."""

import copy
import math

import pytest

from trainers.serving.completions import MalformedResponse, parse_generations, request_body
from trainers.teaching.lesson import Sampling

SAMPLING = Sampling(max_tokens=4, temperature=0.7)
PROMPTS = [(1, 2), (3,)]


def choice(index, **changes):
    made = {
        "index": index,
        "text": f"text {index}",
        "token_ids": [10 + index, 2],
        "finish_reason": "stop",
        "logprobs": {"token_logprobs": [-0.5, -0.25]},
    }
    return made | changes


ANSWER = {"choices": [choice(index) for index in range(4)]}


def parse(answer, *, n=2, sampling=SAMPLING, logprobs=True):
    return parse_generations(answer, PROMPTS, n=n, sampling=sampling, logprobs=logprobs, weight_version=7)


def test_completions_are_dealt_to_their_prompts_by_index_not_by_order():
    shuffled = {"choices": ANSWER["choices"][::-1]}
    generations = parse(shuffled)
    assert [[c.token_ids[0] for c in g.completions] for g in generations] == [[10, 11], [12, 13]]
    assert [g.prompt_ids for g in generations] == PROMPTS
    assert {g.weight_version for g in generations} == {7}
    assert generations[0].completions[0].logprobs == (-0.5, -0.25)
    assert parse(ANSWER, logprobs=False)[0].completions[0].logprobs is None


def test_every_sampling_parameter_is_stated_and_logprobs_are_asked_for_only_when_wanted():
    body = request_body("m", PROMPTS, n=2, sampling=SAMPLING, seed=5, logprobs=False)
    assert body["prompt"] == [[1, 2], [3]]
    assert (body["n"], body["seed"], body["temperature"], body["max_tokens"]) == (2, 5, 0.7, 4)
    assert {"top_p", "top_k", "min_p", "repetition_penalty", "return_token_ids"} <= set(body)
    assert "logprobs" not in body
    assert request_body("m", PROMPTS, n=2, sampling=SAMPLING, seed=5, logprobs=True)["logprobs"] == 0


def test_greedy_completions_are_asked_for_once_and_repeated():
    greedy = Sampling(max_tokens=4, temperature=0)
    assert request_body("m", PROMPTS, n=3, sampling=greedy, seed=5, logprobs=False)["n"] == 1
    generations = parse({"choices": [choice(0), choice(1)]}, n=3, sampling=greedy)
    assert [len(g.completions) for g in generations] == [3, 3]
    assert len(set(generations[0].completions)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"token_ids": []},
        {"token_ids": [1, 2, 3, 4, 5]},
        {"token_ids": None},
        {"finish_reason": "abort"},
        {"logprobs": None},
        {"logprobs": {"token_logprobs": [-0.5]}},
        {"logprobs": {"token_logprobs": [-0.5, math.nan]}},
        {"logprobs": {"token_logprobs": [-0.5, None]}},
    ],
)
def test_a_completion_that_is_not_what_was_asked_for_is_malformed(changes):
    answer = copy.deepcopy(ANSWER)
    answer["choices"][2] |= changes
    with pytest.raises(MalformedResponse):
        parse(answer)


@pytest.mark.parametrize("answer", [{}, [], None, {"choices": ANSWER["choices"][:3]}, {"choices": "many"}])
def test_an_answer_without_all_completions_is_malformed(answer):
    with pytest.raises(MalformedResponse):
        parse(answer)
