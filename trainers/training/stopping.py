"""Training ends before its last step, with a checkpoint, when it is asked to, or has a reason of its own."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Protocol

from accelerate import PartialState
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.configuration.resume.decision import STOP
from trainers.distributed import shared_out
from trainers.output.loading import has_loaded

logger = logging.getLogger(__name__)


class EndsEarly(Trainer):
    """Ends between two steps.

    Attributes:
        stopped_early: whether it has a reason to; it may be found within a step.
        interrupted: whether it was asked to, so that the same command will go on and the model is not final.
    """

    stopped_early = False
    interrupted = False

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        # transformers would take a step first, also after the checkpoint of the last one.
        if not self.stopped_early and self.state.global_step < self.state.max_steps:
            super()._run_epoch(*args, **kwargs)


class Stoppable(Protocol):
    """A trainer as far as `StopEarly` knows it; `EndsEarly` is one."""

    stopped_early: bool
    interrupted: bool


class StopEarly(TrainerCallback):
    """Ends training, with a checkpoint, when the trainer found a reason to in a step, or somebody asks for it.

    It looks before the first step, after each, and after what may take long between two: an evaluation, a save.
    """

    def __init__(self) -> None:
        self.trainer: Stoppable | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Stop before the first step; else a launcher waits for that step from now on, when it is asked to end."""
        self._look(args, state)
        if self.trainer is not None and self.trainer.stopped_early:
            control.should_training_stop = True
        else:
            has_loaded()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Stop after the step."""
        self._look(args, state)
        self._stop(control)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Stop after an evaluation."""
        self._look(args, state)
        self._stop(control)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Stop after a checkpoint."""
        self._look(args, state)
        if self.trainer is not None and self.trainer.stopped_early:
            control.should_training_stop = True

    def _look(self, args: TrainingArguments, state: TrainerState) -> None:
        # After the last step nothing is left to stop.
        if self.trainer is None or self.trainer.stopped_early or state.global_step >= state.max_steps:
            return
        if reason := _reason_of_rank_0(str(args.output_dir)):
            if PartialState().is_main_process:
                logger.error("step %d: %s", state.global_step, reason)
            self.trainer.stopped_early = self.trainer.interrupted = True

    def _stop(self, control: TrainerControl) -> None:
        if self.trainer is not None and self.trainer.stopped_early:
            # What was measured since the last row would be lost.
            control.should_log = True
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
