"""An API model against an API that misbehaves on command: retries, deadlines, limits, money, and no key anywhere."""

import asyncio
import logging
import traceback

import pytest

from tests.support.chat_api import KEY, ChatApi, listening
from trainers.generation.api.model import ApiModel, ApiSettings
from trainers.generation.retries import RetryPolicy
from trainers.generation.types import GenerationError, Message, Prompt, Sampling

PROMPT = Prompt((Message("user", "hello"),))
IMPATIENT = {"request_timeout_s": 0.7}
PRICES = {"prompt": 1e6, "completion": 1e6}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TEST_API_KEY", KEY)


def run(api, *, calls=1, prompts=(PROMPT,), n=1, temperature=1.0, options=None, **settings):
    """Outcomes of concurrent calls, one after another seed, and the model they were made with."""

    async def outcome():
        async with listening(api) as url:
            retry = RetryPolicy(attempts=3, first_delay_s=0.01)
            given = {"request_timeout_s": 10.0, "retry": retry} | (options or {})
            model = ApiModel(ApiSettings(url, "m", "TEST_API_KEY", **settings), **given)
            sampling = Sampling(max_tokens=4, temperature=temperature)
            generations = [model.generate(prompts, n=n, sampling=sampling, seed=seed) for seed in range(calls)]
            try:
                return await asyncio.gather(*generations, return_exceptions=True), model
            finally:
                await model.aclose()

    return asyncio.run(outcome())


def test_every_sample_is_a_request_with_a_seed_of_its_own():
    api = ChatApi()
    (generations,), model = run(api, prompts=(PROMPT, PROMPT), n=3)
    assert len(api.bodies) == 6
    texts = [[completion.text for completion in generation.completions] for generation in generations]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) == 3
    assert [generation.prompt_tokens for generation in generations] == [60, 60]
    assert {body["model"] for body in api.bodies} == {"m"}
    assert {headers["Authorization"] for headers in api.headers} == {f"Bearer {KEY}"}
    assert (model.traffic.requests, model.traffic.prompt_tokens, model.traffic.generated_tokens) == (6, 120, 18)


def test_greedy_decoding_is_asked_for_once():
    api = ChatApi()
    (generations,), _ = run(api, n=4, temperature=0.0)
    assert len(api.bodies) == 1
    assert len(generations[0].completions) == 4


@pytest.mark.parametrize("behaviour", [429, 500, 503, (429, 0.02), "drop", "html", "truncated", "hang"])
def test_what_may_pass_is_tried_again_with_the_same_request(behaviour):
    api = ChatApi(behaviour)
    (generations,), model = run(api, options=IMPATIENT if behaviour == "hang" else None)
    assert generations[0].completions[0].text == "seed 0"
    assert api.bodies[0] == api.bodies[1]
    assert (model.traffic.retries, dict(model.traffic.failures)) == (1, {})


@pytest.mark.parametrize(
    ("behaviour", "cause", "requests"),
    [
        (500, "http_500", 3),
        ("truncated", "garbage", 3),
        ("hang", "timeout", 3),
        ("drop", "connection", 3),
        (401, "http_401", 1),
        (404, "http_404", 1),
        ("filtered", "content_filter", 1),
        ((429, 10**6), "http_429", 1),
    ],
)
def test_what_does_not_pass_is_an_error_with_its_cause(behaviour, cause, requests):
    api = ChatApi(*[behaviour] * 3)
    (error,), model = run(api, options=IMPATIENT if behaviour == "hang" else None)
    assert isinstance(error, GenerationError)
    assert error.cause == cause
    assert len(api.bodies) == requests
    assert model.traffic.failures == {cause: 1}


def test_of_failures_with_one_cause_the_first_is_told_and_the_others_are_counted(caplog):
    outcomes, model = run(ChatApi(*[404] * 3), calls=3)
    assert all(isinstance(outcome, GenerationError) for outcome in outcomes)
    assert model.traffic.failures == {"http_404": 3}
    assert [message for message in caplog.messages if "given up" in message] == [
        f"{outcomes[0]}; given up, and from now on only counted (http_404)"
    ]
    assert KEY not in caplog.text


@pytest.mark.parametrize(("failures", "requests"), [(7, 8), (20, 8)])
def test_a_request_is_made_eight_times_after_growing_delays(failures, requests, monkeypatch):
    waits, sleep = [], asyncio.sleep

    async def at_once(seconds):
        waits.append(seconds)
        await sleep(0)

    async def outcome(api):
        async with listening(api) as url:
            model = ApiModel(ApiSettings(url, "m", "TEST_API_KEY"))
            try:
                return await model.generate([PROMPT], n=1, sampling=Sampling(4), seed=1)
            except GenerationError as error:
                return error
            finally:
                await model.aclose()

    api = ChatApi(*[500] * failures)
    monkeypatch.setattr(asyncio, "sleep", at_once)
    answer = asyncio.run(outcome(api))
    assert len(api.bodies) == requests
    assert isinstance(answer, GenerationError) == (failures >= requests)
    # Between the half and the whole of what doubles from half a second to half a minute.
    delays = [wait for wait in waits if wait > 0]
    longest = [0.5, 1, 2, 4, 8, 16, 30]
    assert len(delays) == requests - 1
    assert all(most / 2 <= delay <= most for delay, most in zip(delays, longest, strict=True))
    assert len(set(delays)) == len(delays)


def test_retry_after_is_waited_for_by_every_request():
    api = ChatApi((429, 0.4))
    outcomes, _ = run(api, calls=1)
    assert not isinstance(outcomes[0], Exception)
    assert api.times[1] - api.times[0] >= 0.4

    hurried = ChatApi((429, 0), (429, 0))
    run(hurried, options={"retry": RetryPolicy(attempts=3, first_delay_s=0.2)})
    assert hurried.times[2] - hurried.times[1] >= 0.2

    paused = ChatApi((429, 0.4), pause_s=0.05)
    outcomes, _ = run(paused, calls=3, options={"max_concurrent_requests": 1})
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert paused.times[1] - paused.times[0] >= 0.4


def test_an_api_is_spoken_to_in_its_own_dialect(caplog):
    api = ChatApi("no_max_tokens", "no_seed")
    (generations,), model = run(api)
    assert generations[0].completions[0].text == "seed None"
    assert [("max_tokens" in body, "seed" in body) for body in api.bodies] == [
        (True, True),
        (False, True),
        (False, False),
    ]
    assert api.bodies[-1]["max_completion_tokens"] == 4
    assert model.traffic.retries == 0
    assert "takes no max_tokens" in caplog.text


def test_a_reasoning_model_is_asked_without_what_it_refuses_from_then_on(caplog):
    api = ChatApi("no_temperature", "no_top_p", "no_seed")
    (first, second), _ = run(api, calls=2, options={"max_concurrent_requests": 1})
    assert first[0].completions[0].text == second[0].completions[0].text == "seed None"
    assert len(api.bodies) == 5
    assert not {"temperature", "top_p", "seed"} & (api.bodies[3].keys() | api.bodies[4].keys())
    assert caplog.text.count("takes no temperature for m: going on without it") == 1


def test_concurrent_requests_learn_the_dialect_together():
    api = ChatApi(*["no_max_tokens"] * 3, pause_s=0.05)
    outcomes, _ = run(
        api,
        calls=3,
    )
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert len(api.bodies) == 6


def test_extra_fields_reach_the_api():
    api = ChatApi()
    run(api, extra_body={"reasoning_effort": "low"})
    assert api.bodies[0]["reasoning_effort"] == "low"


def test_the_spending_cap_holds_and_is_told(tmp_path):
    api = ChatApi()
    file = tmp_path / "student.json"
    # Each request reserves 37 prompt tokens, more than there can be, and 4 to generate, and is charged 23 dollars.
    outcomes, model = run(
        api,
        calls=8,
        spending_cap=100,
        price_per_million_tokens=PRICES,
        options={"usage_file": file, "max_concurrent_requests": 1},
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, GenerationError)]
    assert {error.cause for error in refused} == {"spending_cap"}
    assert len(api.bodies) == 8 - len(refused) == 3
    assert model.account.exhausted
    assert model.metrics() == {"requests": 3, "prompt_tokens": 60, "completion_tokens": 9, "cost_usd": 69}
    assert '"cost_usd": 69.0' in file.read_text()


def test_a_lost_answer_is_charged_at_the_most_it_may_have_cost():
    (_,), lost = run(ChatApi("truncated"), price_per_million_tokens=PRICES)
    assert lost.account.usage.cost_usd == 23 + 41
    (_,), refused = run(ChatApi(500), price_per_million_tokens=PRICES)
    assert refused.account.usage.cost_usd == 23


def test_what_was_never_sent_costs_nothing(free_port):
    async def outcome():
        settings = ApiSettings(f"http://127.0.0.1:{free_port}/v1", "m", None, price_per_million_tokens=PRICES)
        model = ApiModel(settings, retry=RetryPolicy(attempts=2, first_delay_s=0.01))
        with pytest.raises(GenerationError) as raised:
            await model.generate([PROMPT], n=1, sampling=Sampling(4), seed=1)
        await model.aclose()
        return raised.value.cause, model.account.usage.cost_usd

    assert asyncio.run(outcome()) == ("connection", 0)


def test_requests_per_minute_reach_the_limiter():
    async def outcome():
        api = ChatApi()
        async with listening(api) as url:
            model = ApiModel(ApiSettings(url, "m", "TEST_API_KEY", requests_per_minute=2))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await model.generate([PROMPT], n=3, sampling=Sampling(4), seed=1)
            await model.aclose()
        return api

    assert len(asyncio.run(outcome()).bodies) == 2


def test_the_key_is_said_to_nobody(caplog):
    caplog.set_level(logging.DEBUG, logger="trainers")
    (error,), model = run(ChatApi(500, 401), calls=1)
    assert error.cause == "http_401"
    assert KEY not in str(error) + caplog.text + repr(model.settings) + repr(vars(error))
    assert "no, Bearer …" in str(error)
    assert KEY not in "".join(traceback.format_exception(error))


def test_a_missing_key_is_told_at_once(monkeypatch):
    monkeypatch.delenv("TEST_API_KEY")
    with pytest.raises(ValueError, match="export TEST_API_KEY"):
        ApiModel(ApiSettings("http://h/v1", "m", "TEST_API_KEY"))
    ApiModel(ApiSettings("http://h/v1", "m", None))


@pytest.mark.parametrize("url", ["api.example.com/v1", "localhost:8000/v1", "https://me:hidden@h/v1", ""])
def test_an_address_that_is_none_is_told_at_once(url):
    with pytest.raises(ValueError, match="address") as raised:
        ApiModel(ApiSettings(url, "m", None))
    assert "hidden" not in str(raised.value)


def test_an_api_that_names_a_date_is_not_asked_before():
    # The API's clock is years behind ours.
    later = {"Date": "Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After": "Wed, 21 Oct 2015 07:28:01 GMT"}
    api = ChatApi((429, later))
    (outcome,), _ = run(api, options={"retry": RetryPolicy(attempts=2, first_delay_s=0.01)})
    assert not isinstance(outcome, Exception)
    assert api.times[1] - api.times[0] >= 1


def stream(api, **settings):
    """Read a stream until it ends or fails; return its pieces, the failure or `None`, and the model."""

    async def outcome():
        async with listening(api) as url:
            retry = RetryPolicy(attempts=3, first_delay_s=0.01)
            model = ApiModel(ApiSettings(url, "m", "TEST_API_KEY", **settings), request_timeout_s=5, retry=retry)
            pieces, failure = [], None
            try:
                async for piece in model.stream_text(PROMPT, sampling=Sampling(4), seed=7):
                    pieces.append(piece)
            except GenerationError as error:
                failure = error
            finally:
                await model.aclose()
            return pieces, failure, model

    return asyncio.run(outcome())


def test_an_answer_is_streamed_without_its_reasoning_and_charged():
    api = ChatApi()
    (*pieces, completion), failure, model = stream(api, price_per_million_tokens=PRICES)
    assert (pieces, failure) == (["seed ", "7"], None)
    assert (completion.text, completion.finish_reason, completion.tokens) == ("seed 7", "stop", 3)
    assert api.bodies[0]["stream"]
    assert model.account.usage.cost_usd == 23


def test_a_stream_says_that_its_budget_cut_it_off():
    (*_, completion), _, _ = stream(ChatApi("cut"))
    assert completion.truncated


def test_a_busy_api_is_asked_again_before_a_stream_begins_and_in_its_dialect():
    api = ChatApi((429, 0.05), 500)
    assert stream(api)[0][:2] == ["seed ", "7"]
    assert len(api.bodies) == 3
    api = ChatApi("no_max_tokens")
    assert stream(api)[0][:2] == ["seed ", "7"]
    assert api.bodies[1]["max_completion_tokens"] == 4


@pytest.mark.parametrize(("how", "cause"), [("breaks", "connection"), ("fails", "connection"), ("ends", "garbage")])
def test_a_stream_that_breaks_off_is_a_failure_and_charged_at_the_most(how, cause):
    pieces, failure, model = stream(ChatApi(how), price_per_million_tokens=PRICES)
    assert pieces == ["seed ", "7"]
    assert failure.cause == cause
    assert KEY not in str(failure)
    assert model.account.usage.cost_usd == 41


def test_a_stream_that_is_refused_or_withheld_is_a_failure():
    _, refused, model = stream(ChatApi(401), price_per_million_tokens=PRICES)
    assert (refused.cause, model.account.usage.cost_usd) == ("http_401", 0)
    assert stream(ChatApi("filtered"))[1].cause == "content_filter"
