"""A reward of your own: harm costs more than help earns, and a short text is only worth something when it was needed.

A reward is a callable from a lesson to a number, or to `None` where the lesson cannot be judged (it is then left out
of the loss, never counted as zero). A class receives what `reward_args` has for its parameters, here `harm`, and the
configuration's keys that are named like its others, here `efficiency_weight`. Choose it by its dotted path; the command
must find the module, as it does from the project's root:

    scripts/launch_with_server.sh 1 1 configs/run/quickstart_rl.yaml reward=examples.custom_reward.FirstDoNoHarm \\
        reward_args.harm=3 output_dir=results/quickstart/rl_no_harm
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from trainers.teaching.lesson import Lesson


@dataclass(frozen=True)
class FirstDoNoHarm:
    """Minus `harm` for every right baseline made wrong, one (and a bonus for brevity) for every wrong one made right.

    Keeping a right student right earns nothing: there, silence is as good as any teaching.
    """

    harm: float = 2.0
    efficiency_weight: float = 1.0

    def __call__(self, lesson: Lesson) -> float | None:
        """Score one lesson; `None` when it cannot be scored."""
        if lesson.sample is None:
            return None  # a server failed: nobody's fault
        if lesson.format_failure or lesson.leaked:
            return -self.harm
        baselines = [solution.correct for solution in lesson.prepared.baselines if solution.correct is not None]
        if lesson.taught_correct is None or not baselines:
            return None
        return fmean(self.against(right, lesson.taught_correct, lesson.teaching_length) for right in baselines)

    def against(self, right_alone: bool, right_taught: bool, length: int) -> float:
        """Return the reward of a lesson beside one baseline; `length` is the teaching's, in tokens."""
        if right_alone == right_taught:
            return 0.0
        return 1 + self.efficiency_weight * 100 / (100 + length) if right_taught else -self.harm
