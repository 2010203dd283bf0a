"""Limits per minute: never more than allowed within any sixty seconds, never slower than that asks for."""

import asyncio

import pytest

from trainers.generation.api.rate_limits import MINUTE_S, RateLimits, Window


class Clock:
    """Time that passes only by sleeping, a little more of it than was asked for."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds + 1e-6
        await asyncio.sleep(0)


def admitted(amounts, clock=None, **limits):
    """When each request passes, in seconds after the first, and their entries."""
    clock = clock or Clock()
    rates = RateLimits(**limits, clock=clock, sleep=clock.sleep)

    async def outcome():
        entries = []
        for amount in amounts:
            entries.append(await rates.admit(amount))
        return entries

    entries = asyncio.run(outcome())
    return [round(entry.time - entries[0].time, 3) for entry in entries]


def most_in_a_minute(times, amounts):
    return max(
        sum(amount for time, amount in zip(times, amounts, strict=True) if start <= time < start + MINUTE_S)
        for start in times
    )


def test_without_limits_nothing_waits():
    assert admitted([10**9] * 50) == [0] * 50


def test_requests_per_minute():
    times = admitted([1] * 25, requests_per_minute=10)
    assert times == [0] * 10 + [60] * 10 + [120] * 5
    assert most_in_a_minute(times, [1] * 25) == 10


def test_tokens_per_minute():
    amounts = [30, 50, 40, 10, 90, 5, 5]
    times = admitted(amounts, tokens_per_minute=100)
    assert times == [0, 0, 60, 60, 120, 120, 120]
    assert most_in_a_minute(times, amounts) <= 100


def test_what_is_larger_than_the_limit_passes_alone():
    assert admitted([10, 500, 10], tokens_per_minute=100) == [0, 60, 120]


def test_a_corrected_amount_makes_room():
    window = Window(100)
    entry = window.add(90, now=0)
    assert window.wait_s(50, now=10) == 50
    entry.amount = 40
    assert window.wait_s(50, now=10) == 0


def test_room_that_a_correction_makes_is_used_at_once():
    clock = Clock()
    rates = RateLimits(tokens_per_minute=100, clock=clock, sleep=clock.sleep)

    async def outcome():
        entry = await rates.admit(90)
        waiting = asyncio.ensure_future(rates.admit(90))
        while clock.now < 1005:
            await asyncio.sleep(0)
        entry.amount = 10
        return (await waiting).time

    assert asyncio.run(outcome()) < 1007


def test_a_window_counts_what_still_matters():
    window = Window(3)
    for now in (0, 20, 40):
        window.add(1, now)
    assert window.wait_s(1, now=41) == 19
    assert window.wait_s(2, now=41) == 39
    assert window.wait_s(1, now=60) == 0


def test_a_pause_holds_everything_back():
    clock = Clock()
    rates = RateLimits(clock=clock, sleep=clock.sleep)
    rates.pause(7)
    rates.pause(3)
    asyncio.run(rates.admit(1))
    assert clock.now == pytest.approx(1007)


def test_concurrent_requests_pass_in_the_order_they_came():
    clock = Clock()
    rates = RateLimits(requests_per_minute=1, clock=clock, sleep=clock.sleep)
    passed = []

    async def one(index):
        await rates.admit(1)
        passed.append(index)

    async def outcome():
        await asyncio.gather(*map(one, range(4)))

    asyncio.run(outcome())
    assert passed == [0, 1, 2, 3]
    assert clock.now == pytest.approx(1180, abs=0.1)
