"""Requests are let in up to a limit, by priority and then by arrival; whoever gives up holds nobody back."""

import asyncio

import pytest

from trainers.generation.vllm.admission import AdmissionQueue


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


class Request:
    """Takes a turn and keeps it until told to end."""

    def __init__(self, turns, name, log, completions=1, priority=0):
        self.end = asyncio.Event()
        self.task = asyncio.create_task(self.run(turns, name, log, completions, priority))

    async def run(self, turns, name, log, completions, priority):
        async with turns.turn(completions, priority) as self.turn:
            log.append(name)
            await self.end.wait()


def test_the_smallest_priority_goes_first_and_equal_ones_in_order_of_arrival():
    async def story():
        turns, log = AdmissionQueue(1), []
        running = Request(turns, "first", log)
        await settle()
        waiting = [Request(turns, name, log, priority=p) for name, p in (("b", 2), ("a", 1), ("c", 2), ("z", 0))]
        await settle()
        assert log == ["first"]
        for request in (running, waiting[3], waiting[1], waiting[0], waiting[2]):
            request.end.set()
            await settle()
        return log, turns.in_flight

    assert asyncio.run(story()) == (["first", "z", "a", "b", "c"], 0)


def test_completions_make_room_as_they_end_and_a_large_request_is_let_in_as_a_whole():
    async def story():
        turns, log = AdmissionQueue(4), []
        group = Request(turns, "group", log, completions=6)
        single = Request(turns, "single", log)
        await settle()
        assert (log, turns.in_flight) == (["group"], 6)
        group.turn.done(2)
        await settle()
        assert log == ["group"]
        group.turn.done()
        await settle()
        assert (log, turns.in_flight) == (["group", "single"], 4)
        group.end.set()
        single.end.set()
        await settle()
        return turns.in_flight

    assert asyncio.run(story()) == 0


@pytest.mark.parametrize("steps", range(5))
def test_a_request_that_is_cancelled_at_any_moment_holds_nobody_back(steps):
    async def story():
        turns, log = AdmissionQueue(1), []
        running = Request(turns, "running", log)
        await settle()
        cancelled, waiting = Request(turns, "cancelled", log), Request(turns, "waiting", log)
        await settle()
        running.end.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        cancelled.task.cancel()
        await settle()
        assert log[-1] == "waiting"
        waiting.end.set()
        await settle()
        return turns.in_flight

    assert asyncio.run(story()) == 0
