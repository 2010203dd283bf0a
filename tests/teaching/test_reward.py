"""The reward's table, its mean over baselines, and that nothing dishonest beats an honest failure."""

import pytest

from tests.support.lessons import lesson
from trainers.teaching.reward import AdaptiveTeachingReward


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
