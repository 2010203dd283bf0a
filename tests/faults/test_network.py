"""Whatever a network does to connections, the lessons are those of a calm day."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.grpo.test_rollouts_weather import rollout
from tests.support.chat_api import KEY, ChatApi, listening
from tests.support.faulty_network import FaultyNetwork
from trainers.generation.api.model import ApiModel, ApiSettings
from trainers.generation.retries import RetryPolicy
from trainers.generation.types import Generation, Message, Prompt, Sampling
from trainers.teaching.lesson import Group

STUBBORN = RetryPolicy(attempts=12, first_delay_s=0.01, max_delay_s=0.1)
NO_PROXY_THERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def calm() -> list[Group]:
    """The lessons over a network without faults."""
    return rollout(0.0, request_timeout_s=60)[0].groups


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names a proxy which does not answer, for everything."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, NO_PROXY_THERE)
        monkeypatch.setenv(name.lower(), NO_PROXY_THERE)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.fault(
    "connections that are slow, lose packets, are reset, refused or half open, a third of them",
    "the lessons are those of a calm network",
)
def test_a_bad_network_changes_no_lesson(chance: random.Random, calm: list[Group]) -> None:
    network = FaultyNetwork(chance)
    made, pools, _ = rollout(0.0, network.before, STUBBORN, request_timeout_s=3.0)
    assert made.groups == calm
    assert network.done
    assert not any(pool.traffic.failures for pool in pools.values())


@pytest.mark.fault(
    "a proxy in the environment; servers on the loopback of IPv6", "the lessons are those of a calm network"
)
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_servers_of_this_machine_are_asked_directly(host: str, calm: list[Group], proxies: None) -> None:
    network = FaultyNetwork(random.Random(0), share=0.0, host=host)
    assert rollout(0.0, network.before, STUBBORN, request_timeout_s=60)[0].groups == calm


@pytest.mark.fault("a proxy in the environment; a student's API on this machine", "it is asked directly")
def test_an_api_of_this_machine_is_asked_directly(proxies: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_API_KEY", KEY)

    async def asked() -> list[Generation]:
        async with listening(ChatApi()) as url:
            model = ApiModel(ApiSettings(url, "m", "TEST_API_KEY"), retry=RetryPolicy(attempts=1))
            try:
                prompts = [Prompt((Message("user", "hello"),))]
                return await model.generate(prompts, n=1, sampling=Sampling(max_tokens=4), seed=3)
            finally:
                await model.aclose()

    [generation] = asyncio.run(asked())
    assert generation.completions[0].text == "seed 3"
