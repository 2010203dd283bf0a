"""Checkpoints that are whole or not there: what cannot be written never replaces what could."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import Trainer

from trainers.distributed import on_all_ranks, shared_out
from trainers.output.checkpoints import abandon, begin, finish, last_finished, size_of
from trainers.output.files import is_full
from trainers.training.plain_values import named, refuse_pickled_code

logger = logging.getLogger(__name__)

_REMEDY = "free some space, or lower save_total_limit, or set save_only_model=true; training goes on without it"


class WholeCheckpoints(Trainer):
    """Writes each checkpoint beside the one that it replaces, and declares it whole when every rank has written.

    What it continues from is read as tensors and plain values.

    A disk that is full costs the checkpoint, not the training, where all ranks can agree on that.
    """

    _step_saved: int | None = None

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        """Train as transformers does.

        Raises:
            ConfigurationError: when the checkpoint holds code.
        """
        refuse_pickled_code(deepspeed=self.is_deepspeed_enabled)
        with named(resume_from_checkpoint):
            return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def save_own_files(self, checkpoint: Path) -> None:
        """Write what a trainer of ours has to add to a checkpoint; every rank calls this."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if self._step_saved == self.state.global_step:
            return
        checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        state = PartialState()
        if lacking := shared_out(lambda: [no_room(checkpoint)] * state.num_processes):
            self._tell(lacking)
            return
        main = state.is_main_process
        try:
            on_all_ranks(lambda: begin(checkpoint) if main else None)
            self.save_own_files(checkpoint)
            super()._save_checkpoint(model, trial)
            # All ranks have written before the first one looks at their files.
            on_all_ranks(lambda: None)
            on_all_ranks(lambda: finish(checkpoint) if main else None)
        except Exception as error:
            if main:
                abandon(checkpoint)
            # Ranks that succeeded would go on to the next step without those that did not.
            if state.num_processes > 1 or not is_full(error):
                raise
            self._tell(f"{checkpoint} could not be written ({error})")
        else:
            self._step_saved = self.state.global_step

    def _tell(self, lacking: str) -> None:
        if PartialState().is_main_process:
            logger.error("step %d: %s. → %s", self.state.global_step, lacking, _REMEDY)


def no_room(checkpoint: Path) -> str | None:
    """Return why a checkpoint would not fit on its disk, judged by the last one; `None` when it may."""
    last = last_finished(checkpoint.parent)
    if last is None:
        return None
    needed, free = size_of(last), shutil.disk_usage(checkpoint.parent).free
    if free >= needed:
        return None
    return f"{checkpoint} was not begun: {last.name} has {needed:,} bytes, and {free:,} are free"
