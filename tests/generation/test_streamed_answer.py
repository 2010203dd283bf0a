"""A stream of an API is given up for its silence, not for its length."""

import asyncio

import pytest

from trainers.concurrency.deadlines import REQUEST_S, whole_answer_s
from trainers.generation.api.streamed_answer import never_silent


async def chunks(*pauses_s):
    for number, pause_s in enumerate(pauses_s):
        await asyncio.sleep(pause_s)
        yield number


def heard(*pauses_s, timeout_s=0.3):
    async def listen():
        return [chunk async for chunk in never_silent(chunks(*pauses_s), timeout_s)]

    return asyncio.run(listen())


def test_many_short_silences_are_no_long_one():
    assert heard(*[0.1] * 6) == list(range(6))


def test_a_long_silence_ends_the_stream():
    with pytest.raises(TimeoutError):
        heard(0.01, 2)


@pytest.mark.parametrize(("tokens", "seconds"), [(1, 600), (6_000, 600), (32_000, 3_200)])
def test_an_answer_that_comes_whole_has_time_for_its_tokens(tokens, seconds):
    assert whole_answer_s(REQUEST_S, tokens) == seconds
