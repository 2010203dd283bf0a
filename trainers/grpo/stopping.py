"""When a run ends before its last step, with a checkpoint: too many lost groups, no money for another, or a request."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any, Protocol

from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.configuration.resume.decision import STOP
from trainers.distributed import shared_out
from trainers.generation.api.usage import Account
from trainers.grpo.overlap import LessonBatch
from trainers.grpo.rollout_costs import STUDENT, cap_of

logger = logging.getLogger(__name__)


class Stoppable(Protocol):
    """A trainer that knows whether it is to stop."""

    stopped_early: bool


class StopEarly(TrainerCallback):
    """Ends training, with a checkpoint, after the step in which the trainer found a reason to."""

    def __init__(self) -> None:
        self.trainer: Stoppable | None = None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Stop, when the trainer found a reason to in this step."""
        if self.trainer is None:
            return
        # After the last step nothing is left to stop.
        more = state.global_step < state.max_steps and not self.trainer.stopped_early
        if more and (reason := _reason_of_rank_0(args.output_dir)):
            if PartialState().is_main_process:
                logger.error("step %d: %s", state.global_step, reason)
            self.trainer.stopped_early = True
        if self.trainer.stopped_early:
            control.should_save = True
            control.should_training_stop = True
            # It would ask servers that may be gone, or an account that is empty, before the checkpoint is written.
            control.should_evaluate = False


def _reason_of_rank_0(output_dir: str) -> str | None:
    """Share rank 0's reason: every rank must stop at the same step, and the others may not see its files."""
    return shared_out(lambda: [asked_to_stop(output_dir)] * PartialState().num_processes)


def asked_to_stop(output_dir: str) -> str | None:
    """Return why somebody asks a run to stop, by the file `STOP` in its output, and take the request away."""
    file = Path(output_dir) / STOP
    try:
        why = file.read_text(encoding="utf-8").strip().rstrip(".")
        file.unlink()
    except FileNotFoundError:
        return None
    return f"{why or f'asked to stop by {file}'}: saving a checkpoint and stopping. The same command continues from it."


def lost_too_many(batch: LessonBatch, max_lost_groups: float, output_dir: str) -> str | None:
    """Return why a run must stop that lost so many groups of a rollout, if it must."""
    if len(batch.lost) <= max_lost_groups * batch.groups:
        return None
    return (
        f"lost {len(batch.lost)} of {batch.groups} groups ({Counter(batch.lost).most_common(3)}), more than the share "
        f"max_lost_groups={max_lost_groups}: nothing is learned from this rollout, and the run stops with its last "
        f"whole step. The servers' logs are in {output_dir}/servers; the same command asks these questions again."
    )


def nothing_left_to_spend(account: Account | None, role: str = STUDENT) -> str | None:
    """Return why a run cannot pay the API of its student, or its verifier, for another rollout, if it cannot."""
    if account is None or account.affords_rollout:
        return None
    return (
        f"{account.usage.cost_usd:.4f} USD are spent on the {role}'s API, and a rollout like the last, which took "
        f"{account.usage.rollout_usd:.4f}, would exceed {cap_of(account, role)}: saving a checkpoint and "
        "stopping. The same command with a higher cap continues from the checkpoint."
    )
