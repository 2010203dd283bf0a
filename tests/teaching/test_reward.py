"""The reward's table, its mean over baselines, and that nothing dishonest beats an honest failure."""

import asyncio
import math
import random
import threading
import time
from dataclasses import replace
from statistics import fmean

import pytest

from tests.support.lessons import lesson
from trainers.teaching.lesson import Grade
from trainers.teaching.reward import AdaptiveTeachingReward, OwnThread, off_the_loop, score


@pytest.mark.parametrize(
    ("base", "taught", "length", "expected"),
    [
        (True, False, 10, -0.3),
        (False, False, 10, 0.0),
        (True, True, 0, 0.5 * 2),
        (False, True, 0, 1.0 * 2),
        (True, True, 100, 0.5 * 1.5),
        (False, True, 300, 1.25),
    ],
)
def test_the_table(base, taught, length, expected):
    reward = AdaptiveTeachingReward(degradation_penalty=0.3)
    assert reward(lesson([base], taught, length)) == pytest.approx(expected)


def test_efficiency_weight_scales_the_bonus_only():
    assert AdaptiveTeachingReward(efficiency_weight=0)(lesson([False], True, 7)) == 1.0
    assert AdaptiveTeachingReward(efficiency_weight=2)(lesson([False], True, 100)) == pytest.approx(2.0)


def test_mean_over_scorable_baselines_equals_the_expectation_over_fresh_ones():
    reward = AdaptiveTeachingReward()
    mixed = reward(lesson([True, False, None], True, 25))
    assert mixed == pytest.approx((reward.against(True, True, 25) + reward.against(False, True, 25)) / 2)


def test_unscorable_is_none_never_zero():
    reward = AdaptiveTeachingReward()
    assert reward(lesson([None], True)) is None
    assert reward(lesson([True], None)) is None


@pytest.mark.parametrize("penalty", [0.0, 0.5])
def test_format_failures_and_leaks_never_beat_an_honest_failure(penalty):
    reward = AdaptiveTeachingReward(degradation_penalty=penalty)
    honest = reward(lesson([False], False))
    assert reward(lesson([False], None, teaching=None)) == -penalty <= honest
    assert reward(lesson([False], True, leaked=True)) == -penalty <= honest


def test_reported_leaks_are_scored_as_they_teach():
    assert AdaptiveTeachingReward(leak_policy="report")(lesson([False], True, 100, leaked=True)) == pytest.approx(1.5)


def test_rules_earn_to_the_last_digit_what_the_table_says():
    """Verdicts of 0 and 1 through the formula for scores, against the table as it was written before there were any."""

    def table(base: bool, taught: bool, length: int, weight: float, penalty: float) -> float:
        if not taught:
            return 0.0 - penalty if base else 0.0
        return (0.5 if base else 1.0) * (1 + weight * (100 / (100 + length)))

    draw = random.Random(0)
    for _ in range(2000):
        weight, penalty = draw.choice([0, 1, draw.uniform(0, 3)]), draw.choice([0, 1, draw.uniform(0, 2)])
        tolerance, length = draw.uniform(0, 0.999), draw.randrange(4000)
        reward = AdaptiveTeachingReward(weight, penalty, degradation_tolerance=tolerance)
        baselines, taught = draw.choices([True, False], k=draw.randint(1, 5)), draw.random() < 0.5
        expected = fmean(table(base, taught, length, weight, penalty) for base in baselines)
        found = reward(lesson(baselines, taught, length))
        assert (found, math.copysign(1, found)) == (expected, math.copysign(1, expected))


def graded(base: float, taught: float, **options: float) -> float:
    made = lesson([True], True, 100)
    baseline = replace(made.prepared.baselines[0], grade=Grade(base))
    prepared = replace(made.prepared, baselines=(baseline,))
    found = AdaptiveTeachingReward(**options)(
        replace(made, prepared=prepared, taught=replace(made.taught, grade=Grade(taught)))
    )
    assert found is not None
    return found


def test_scores_earn_half_for_where_they_end_and_half_for_what_is_gained():
    assert graded(0.2, 0.8) == pytest.approx(0.5 * (0.8 + 0.6) * 1.5)
    assert graded(0.8, 0.8) == pytest.approx(0.5 * 0.8 * 1.5)


def test_a_loss_within_the_tolerance_is_none_and_one_beyond_it_earns_no_more_than_nothing():
    assert graded(0.8, 0.7) == pytest.approx(0.5 * 0.7 * 1.5)
    assert graded(0.8, 0.69) == 0.0
    assert graded(0.8, 0.3, degradation_penalty=2.0) == pytest.approx(-1.0)
    assert graded(0.8, 0.7, degradation_tolerance=0.0) == 0.0


def test_more_is_never_worth_less():
    """In what the student reaches taught, at every baseline."""
    steps = [step / 50 for step in range(51)]
    for base in steps:
        earned = [graded(base, taught, degradation_penalty=0.7) for taught in steps]
        assert earned == sorted(earned)


def test_no_grade_earns_less_than_a_format_failure():
    penalty = 0.4
    steps = [step / 10 for step in range(11)]
    worst = min(graded(base, taught, degradation_penalty=penalty) for base in steps for taught in steps)
    reward = AdaptiveTeachingReward(degradation_penalty=penalty)
    assert reward(lesson([True], None, teaching=None)) <= worst


def test_rewards_that_wait_are_awaited_and_others_are_not():
    async def waits(_):
        await asyncio.sleep(0)
        return 0.25

    async def scores():
        return [await score(reward, lesson([True], True)) for reward in (waits, lambda _: 0.5)]

    assert asyncio.run(scores()) == [0.25, 0.5]


def test_only_rewards_that_may_stop_the_loop_get_a_thread():
    async def waits(_):
        return 0.25

    for quick in (waits, AdaptiveTeachingReward()):
        assert off_the_loop(quick) is quick
    assert isinstance(off_the_loop(lambda _: 0.5), OwnThread)


def test_a_reward_on_a_thread_scores_one_lesson_after_the_other():
    inside, most = [], []

    def slow(scored):
        inside.append(scored)
        most.append(len(inside))
        time.sleep(0.02)
        inside.remove(scored)
        return float(scored.member)

    async def scores():
        reward = OwnThread(slow)
        return await asyncio.gather(*(reward(lesson([True], True, member=member)) for member in range(4)))

    assert asyncio.run(scores()) == [0.0, 1.0, 2.0, 3.0]
    assert max(most) == 1


def test_closing_closes_the_reward_and_does_not_wait_for_its_thread():
    begun, released, closed = threading.Event(), threading.Event(), []

    class Stuck:
        def __call__(self, _):
            begun.set()
            released.wait(30)
            return 1.0

        def close(self):
            closed.append(True)

    async def closing():
        reward = OwnThread(Stuck())
        pending = asyncio.ensure_future(reward(lesson([True], True)))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        await reward.aclose()
        running = not pending.done()
        released.set()
        return running, await pending

    assert asyncio.run(closing()) == (True, 1.0)
    assert closed == [True]
