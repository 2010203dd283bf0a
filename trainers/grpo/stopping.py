"""When a run ends before its last step, with a checkpoint: too many lost groups, or no money for another rollout."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from transformers import TrainerCallback

from trainers.grpo.overlap import LessonBatch
from trainers.serving.api_usage import Account


class Stoppable(Protocol):
    """A trainer that knows whether it is to stop."""

    stopped_early: bool


class StopEarly(TrainerCallback):
    """Ends training, with a checkpoint, after the step in which the trainer found a reason to."""

    def __init__(self) -> None:
        self.trainer: Stoppable | None = None

    def on_step_end(self, args, state, control, **kwargs):
        if self.trainer is not None and self.trainer.stopped_early:
            control.should_save = True
            control.should_training_stop = True


def lost_too_many(batch: LessonBatch, max_lost_groups: float, output_dir: str) -> str | None:
    """Why a run must stop that lost so many groups of a rollout, if it must."""
    if len(batch.lost) <= max_lost_groups * batch.groups:
        return None
    return (
        f"lost {len(batch.lost)} of {batch.groups} groups ({Counter(batch.lost).most_common(3)}), more than the share "
        f"max_lost_groups={max_lost_groups}: saving a checkpoint and stopping. The servers' logs are in "
        f"{output_dir}/servers; the same command continues from the checkpoint."
    )


def nothing_left_to_spend(account: Account | None) -> str | None:
    """Why a run cannot pay its student's API for another rollout, if it cannot."""
    if account is None or account.affords_rollout:
        return None
    return (
        f"{account.usage.cost_usd:.4f} USD are spent on the student's API, and a rollout like the last, which took "
        f"{account.usage.rollout_usd:.4f}, would exceed student_spending_cap={account.cap}: saving a checkpoint and "
        "stopping. The same command with a higher cap continues from the checkpoint."
    )
