"""Rewards: the worth of a lesson as a number.

The default reward is zero where teaching did not help or made things worse, positive where it did, with a bonus for
short teachings. docs/concepts/reward-design.md derives what it does to learning.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from trainers.teaching.lesson import Lesson


class Reward(Protocol):
    """Scores one lesson; `None` marks it unscorable. Any callable of this shape can be configured as `reward`."""

    def __call__(self, lesson: Lesson) -> float | None: ...


@dataclass(frozen=True)
class AdaptiveTeachingReward:
    """The mean, over the scorable baselines, of a reward for improving on that baseline.

    Args:
        efficiency_weight: weight of the length bonus `100 / (100 + L)`, L the teaching's length in teacher tokens.
        degradation_penalty: what a right student made wrong costs. Format failures and penalised leaks cost the same,
            so that neither ever beats an honest failure.
        leak_policy: `penalise` scores a leak as a failure; `report` only counts it.
    """

    efficiency_weight: float = 1.0
    degradation_penalty: float = 0.0
    leak_policy: str = "penalise"

    def __call__(self, lesson: Lesson) -> float | None:
        baselines = [solution.correct for solution in lesson.prepared.baselines if solution.correct is not None]
        if lesson.sample is None or not baselines:
            return None
        if lesson.format_failure or (lesson.leaked and self.leak_policy == "penalise"):
            return 0.0 - self.degradation_penalty
        if lesson.taught_correct is None:
            return None
        taught = lesson.taught_correct
        return fmean(self.against(base, taught, lesson.teaching_length) for base in baselines)

    def against(self, base: bool, taught: bool, length: int) -> float:
        """The reward against one baseline: degradation, nothing gained, kept right, made right."""
        if not taught:
            return 0.0 - self.degradation_penalty if base else 0.0
        bonus = 100 / (100 + length)
        return (0.5 if base else 1.0) * (1 + self.efficiency_weight * bonus)
