"""The harvest of a finished rollout: what training needs, its metrics, and a sample of its lessons on disk."""

from __future__ import annotations

import logging
import random
from collections import Counter
from dataclasses import dataclass, field

from trainers.callbacks import lesson_line, save_lessons
from trainers.grpo.curriculum.question_records import outcomes
from trainers.grpo.distillation.mentor import distillation_means
from trainers.grpo.overlap import LessonBatch
from trainers.grpo.rollouts import Rollout, training_rows
from trainers.progress import tell
from trainers.teaching.metrics import Mean, agreement, agrees, means_by_student, teaching_means

logger = logging.getLogger(__name__)

AGREEMENT = "frac_reward_zero_std"
"""TRL's name for the share of groups whose lessons earn the same. With `scale_rewards=batch` its own is of no group."""


@dataclass(frozen=True)
class LessonBatchMaker:
    """Turns rollouts into lessons to train on.

    Args:
        output_dir: where `lessons/` is written.
        seed: seed of the choice of groups that are written.
        share_saved: share of groups that are written.
        steps_per_rollout: optimizer steps that are trained on one rollout.
        filler_id: the token that stands for a lesson that was never sampled.
    """

    output_dir: str
    seed: int
    share_saved: float
    steps_per_rollout: int
    filler_id: int
    _lost: set[str] = field(default_factory=set, init=False)

    def __call__(self, number: int, rollout: Rollout) -> LessonBatch:
        """Return the lessons of the rollout of a number for training; log what was lost, and write a sample to disk."""
        step, groups = number * self.steps_per_rollout, rollout.groups
        for group in groups:
            if group.dropped:
                whose = f" of {group.prepared.student}" if rollout.students else ""
                row = group.prepared.question.row
                logger.warning("step %d: dropped question %d%s: %s", step, row, whose, group.dropped)
        kept = [lesson for group in groups if not group.dropped for lesson in group.lessons]
        if kept:
            tell(lesson=lesson_line(kept[-1]))
        excluded = Counter(lesson.failure for lesson in kept if lesson.failure)
        if excluded:
            causes = ", ".join(f"{cause} {count}" for cause, count in excluded.most_common())
            logger.warning("step %d: excluded %d of %d lessons: %s", step, excluded.total(), len(kept), causes)
        chooser = random.Random(f"{self.seed}/{step}")
        save_lessons(self.output_dir, step, [group for group in groups if chooser.random() < self.share_saved])
        versions = [lesson.sample.weight_version for group in groups for lesson in group.lessons if lesson.sample]
        self._tell_of_lost(step, rollout)
        # Of all that was sampled: groups of use alone would show a teacher more uneven than it is.
        taught = teaching_means(rollout.sampled) | means_by_student(rollout.sampled, rollout.students)
        taught["uninformative_groups"] = Mean(sum(map(agrees, rollout.sampled)), 1)
        if rollout.replaced is not None:
            taught["replaced_groups"] = Mean(rollout.replaced, 1)
        means = {f"teaching/{name}": mean for name, mean in taught.items()}
        agreeing = agreement(groups)
        means |= {AGREEMENT: agreeing} if agreeing is not None else {}
        means |= {} if rollout.readings is None else distillation_means(groups, rollout.readings)
        shares = ("rollout_tokens_per_s", *(f"servers_idle/{role}" for role in rollout.idle))
        return LessonBatch(
            number=number,
            rows=training_rows(groups, self.filler_id, rollout.readings),
            metrics={name: mean.value for name, mean in means.items()} | rollout.metrics(),
            weights={name: mean.count for name, mean in means.items()} | dict.fromkeys(shares, rollout.seconds),
            weight_version=min(versions, default=None),
            groups=len(groups),
            lost=lost_groups(rollout),
            outcomes=outcomes(rollout.sampled),
        )

    def _tell_of_lost(self, step: int, rollout: Rollout) -> None:
        """Say once of a student of a pool that all its groups are lost, and once that it is back."""
        for name in rollout.students:
            own = [group for group in rollout.groups if group.prepared.student == name]
            if not own:
                continue
            lost = all(group.dropped for group in own)
            if lost and name not in self._lost:
                causes = Counter(group.dropped for group in own).most_common(3)
                logger.error("step %d: all groups of student %s are lost (%s): the others go on", step, name, causes)
                self._lost.add(name)
            elif not lost and name in self._lost:
                logger.warning("step %d: student %s answers again", step, name)
                self._lost.discard(name)


def lost_groups(rollout: Rollout) -> list[str]:
    """Return why groups are of no use for training: they were dropped, or their mentor could not read them."""
    unread = [None] * len(rollout.groups) if rollout.readings is None else [each.failure for each in rollout.readings]
    causes = [group.dropped or failure for group, failure in zip(rollout.groups, unread, strict=True)]
    return [cause for cause in causes if cause]
