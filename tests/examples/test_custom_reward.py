"""The example of a reward of one's own is found by its dotted path, receives its key, and scores as it says."""

import asyncio

import pytest

from tests.support.lessons import lesson
from trainers.builders.protocol import make_reward
from trainers.configuration import compose
from trainers.teaching.reward import score


@pytest.fixture(scope="module")
def reward():
    overrides = ["run@_global_=quickstart_rl", "reward=examples.custom_reward.FirstDoNoHarm", "efficiency_weight=0.5"]
    overrides += ["reward_args.harm=3"]
    return make_reward(compose(overrides).config)


def scored(reward, given):
    return asyncio.run(score(reward, given))


@pytest.mark.parametrize(
    ("baselines", "taught", "length", "expected"),
    [
        ([False], True, 0, 1.5),
        ([False], True, 100, 1.25),
        ([True], False, 5, -3.0),
        ([True], True, 5, 0.0),
        ([False], False, 5, 0.0),
        ([True, False], False, 5, -1.5),
        ([None, False], False, 5, 0.0),
        ([None], True, 5, None),
        ([True], None, 5, None),
    ],
)
def test_first_do_no_harm(reward, baselines, taught, length, expected):
    assert scored(reward, lesson(baselines, taught, length)) == expected


def test_leaks_and_malformed_replies_count_as_harm(reward):
    assert scored(reward, lesson([False], True, leaked=True)) == -3.0
    assert scored(reward, lesson([False], None, teaching=None)) == -3.0
