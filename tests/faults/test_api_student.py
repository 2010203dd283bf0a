"""A student behind an API that fails in every way an API can: who survives is as on a calm day, and the cap holds."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections import Counter
from typing import Any

import pytest
from aiohttp import web

from tests.support.chat_api import KEY, ChatApi, listening
from trainers.generation.api.model import ApiModel, ApiSettings
from trainers.generation.retries import RetryPolicy
from trainers.generation.types import GenerationError, Message, Prompt, Sampling

CALLS, MAX_TOKENS, PRICE_OF_AN_ANSWER = 60, 4, 23
KINDS: dict[str, Any] = {
    "429": (429, 0.02),
    "500": 500,
    "timeout": "hang",
    "garbage": "html",
    "wrong model": 404,
    "refuses temperature": "no_temperature",
    "refuses seed": "no_seed",
    "revoked key": 401,
}
CAP = "spending cap"
PASSING = {"429", "500", "timeout", "garbage", "refuses temperature", "refuses seed"}
"""Kinds that a client gets over."""
CAUSES = {"http_429", "http_500", "timeout", "connection", "garbage", "http_404", "http_401", "spending_cap"}
PROMPTS = [Prompt((Message("user", f"How much is {number} and 4?"),)) for number in range(CALLS)]


class BadApi(ChatApi):
    """Does each of its kinds of faults to a tenth of requests: which ones depends on request and attempt alone.

    `earned` is what its owner will ask for, in dollars: everything that it generated, whether or not that arrived.
    """

    def __init__(self, kinds: tuple[str, ...], seed: str) -> None:
        super().__init__()
        self._kinds, self._seed = kinds, seed
        self._attempts: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.earned = 0

    def text(self, body: dict[str, Any]) -> str:
        """Return an answer that the conversation decides, and the seed where it is always taken."""
        seed = 0 if "refuses seed" in self._kinds else body["seed"]
        return hashlib.sha256(f"{body['messages']}/{seed}".encode()).hexdigest()[:8]

    async def behave(self, request: web.Request, body: dict[str, Any], behaviour: Any) -> web.StreamResponse:
        """Answer well, or as one of the kinds."""
        asked = json.dumps(body, sort_keys=True)
        self._attempts[asked] += 1
        draw = random.Random(f"{self._seed}/{asked}/{self._attempts[asked]}").random()
        kind = next((name for number, name in enumerate(self._kinds) if draw < (number + 1) / 10), None)
        if kind is not None and KINDS[kind] == f"no_{kind.rpartition(' ')[2]}" and kind.rpartition(" ")[2] not in body:
            kind = None
        if kind is not None:
            self.done[kind] += 1
        if kind in (None, "timeout", "garbage"):
            self.earned += PRICE_OF_AN_ANSWER
        return await super().behave(request, body, "good" if kind is None else KINDS[kind])


def outcomes(api: BadApi, cap: float | None = None) -> tuple[list[Any], float]:
    """Return the answers to all prompts, or why there is none, and what the client believes to have spent."""

    async def asked() -> tuple[list[Any], float]:
        async with listening(api) as url:
            prices = {"prompt": 1e6, "completion": 1e6}
            settings = ApiSettings(url, "m", "TEST_API_KEY", spending_cap=cap, price_per_million_tokens=prices)
            retry = RetryPolicy(attempts=6, first_delay_s=0.01, max_delay_s=0.05)
            model = ApiModel(settings, request_timeout_s=2.0, max_concurrent_requests=8, retry=retry)
            sampling = Sampling(max_tokens=MAX_TOKENS, temperature=0.7)
            calls = [model.generate([prompt], n=1, sampling=sampling, seed=7) for prompt in PROMPTS]
            try:
                return await asyncio.gather(*calls, return_exceptions=True), model.account.usage.cost_usd
            finally:
                await model.aclose()

    return asyncio.run(asked())


@pytest.mark.fault(
    "an API student: 429, 500, timeout, garbage, wrong model, temperature or seed refused, key revoked, cap reached: "
    "10% each, and all together",
    "survivors answer as on a calm day; no more than the cap is spent, by the API's own account",
    sample=1,
)
@pytest.mark.parametrize("kinds", [*([kind] for kind in KINDS), [CAP], [*KINDS, CAP]], ids=", ".join)
def test_survivors_are_those_of_a_calm_day(
    kinds: list[str], chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_API_KEY", KEY)
    faults = tuple(kind for kind in kinds if kind != CAP)
    cap = chance.uniform(500, 1200) if CAP in kinds else None
    api = BadApi(faults, str(chance.random()))
    found, believed = outcomes(api, cap)
    survivors = 0
    for prompt, outcome in zip(PROMPTS, found, strict=True):
        if isinstance(outcome, GenerationError):
            assert outcome.cause in CAUSES
            continue
        [[generation]] = [outcome]
        expected = api.text({"messages": [{"role": "user", "content": prompt.messages[0].content}], "seed": 7})
        assert generation.completions[0].text == expected
        survivors += 1
    assert survivors > 0
    assert survivors < CALLS or set(kinds) <= PASSING
    assert bool(api.done) == bool(faults)
    assert api.earned <= believed
    if cap is not None:
        assert believed <= cap
