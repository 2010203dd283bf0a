"""Rewards: the worth of a lesson as a number.

The default reward is zero where teaching did not help or made things worse, positive where it did, with a bonus for
short teachings. docs/concepts/reward-design.md derives what it does to learning.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol, cast

from trainers.concurrency.calls import call, close, is_async
from trainers.teaching.lesson import Lesson

_ROUNDING = 1e-9
"""Scores such as 0.8 and 0.7 differ by a little more than 0.1."""


class Reward(Protocol):
    """Scores one lesson; `None` marks it unscorable. Any callable of this shape can be configured as `reward`."""

    def __call__(self, lesson: Lesson) -> float | Awaitable[float | None] | None:
        """Return the reward of a lesson."""
        ...


async def score(reward: Reward, lesson: Lesson) -> float | None:
    """Return what a reward gives for a lesson, awaited where it has to be."""
    worth = reward(lesson)
    return await worth if inspect.isawaitable(worth) else worth


class OwnThread:
    """A synchronous reward, called on a thread so that it never stops the event loop that it is scored on.

    Lessons are scored one after the other, so that a reward with state needs no lock. One that waits for something
    should be asynchronous.

    Args:
        reward: any callable from a lesson to a number or `None`.
    """

    def __init__(self, reward: Reward) -> None:
        self._reward = reward
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reward")

    async def __call__(self, lesson: Lesson) -> float | None:
        """Score a lesson on the thread."""
        return cast("float | None", await call(self._reward, lesson, executor=self._thread))

    async def aclose(self) -> None:
        """Close the reward, if it can be closed, and its thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        await close(self._reward)


def off_the_loop(reward: Reward) -> Reward:
    """Return a reward that never stops the event loop: itself if it is asynchronous or ours, else on a thread."""
    quick = is_async(reward) or isinstance(reward, AdaptiveTeachingReward)
    return reward if quick else OwnThread(reward)


@dataclass(frozen=True)
class AdaptiveTeachingReward:
    """The mean, over the scorable baselines, of a reward for improving on that baseline.

    It reads scores in [0, 1]: 1 and 0 for right and wrong, what lies between from judges.

    Args:
        efficiency_weight: weight of the length bonus `100 / (100 + L)`, L the teaching's length in teacher tokens.
        degradation_penalty: what a right student made wrong costs, and a share of it what loses that share of a score.
            Format failures and penalised leaks cost the whole, so that neither ever beats an honest failure.
        leak_policy: `penalise` scores a leak as a failure; `report` only counts it; `blind` also scores as a failure
            what leaks by its blind check, and leaves out a lesson whose check could not be made.
        degradation_tolerance: the loss of score up to which a student counts as not harmed, since judges waver.
    """

    efficiency_weight: float = 1.0
    degradation_penalty: float = 0.0
    leak_policy: str = "penalise"
    degradation_tolerance: float = 0.1

    def __call__(self, lesson: Lesson) -> float | None:
        """Return the mean reward over the scorable baselines; `None` when the lesson cannot be scored."""
        baselines = [solution.score for solution in lesson.prepared.baselines if solution.score is not None]
        if lesson.sample is None or not baselines:
            return None
        if lesson.format_failure or (lesson.leaked and self.leak_policy != "report"):
            return 0.0 - self.degradation_penalty
        if self.leak_policy == "blind" and lesson.blind is not None and lesson.blind.leaked is not False:
            return None if lesson.blind.leaked is None else 0.0 - self.degradation_penalty
        taught = lesson.taught_score
        if taught is None:
            return None
        return fmean(self.against(base, taught, lesson.teaching_length) for base in baselines)

    def against(self, base: float, taught: float, length: int) -> float:
        """Return the reward against one baseline: half for where the student ends up, half for what it has gained."""
        gain = taught - base
        if gain < -self.degradation_tolerance - _ROUNDING:
            return 0.0 + self.degradation_penalty * gain
        bonus = 100 / (100 + length)
        return 0.5 * (taught + max(gain, 0.0)) * (1 + self.efficiency_weight * bonus)
