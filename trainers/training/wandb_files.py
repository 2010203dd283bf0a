"""W&B's own files on a disk that takes no more: that is told, and the training goes on.

W&B writes by a process of its own, which drops what the disk does not take without a word; offline it writes nothing
more after that, even when there is room again.
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainingArguments
from transformers.integrations import WandbCallback

from trainers.output.files import full_disk_told, is_full

logger = logging.getLogger(__name__)

BLOCK = 32768
"""Bytes that W&B hands to the disk at once."""
_REMEDY = "free some space there, or name another directory by WANDB_DIR"


def install_wandb(trainer: Trainer) -> None:
    """Have a trainer that reports to W&B outlive a full disk under W&B's files."""
    if any(type(callback) is WandbCallback for callback in trainer.callback_handler.callbacks):
        trainer.remove_callback(WandbCallback)
        trainer.add_callback(SparedByFullDisks())


class SparedByFullDisks(WandbCallback):
    """transformers' own, which tells when W&B's files cannot be written, and goes on without."""

    _wandb: Any

    def __init__(self) -> None:
        super().__init__()
        self._told = False

    def setup(self, args: TrainingArguments, state: Any, model: Any, **kwargs: Any) -> None:
        """Begin the run on W&B, where its directory takes files; else leave W&B out."""
        if state.is_world_process_zero and self._wandb is not None and self._wandb.run is None:
            directory = Path(self._wandb.setup().settings.wandb_dir)
            if (error := refusal(directory)) is not None:
                logger.error("%s cannot be written to (%s): W&B is left out. → %s", directory, error.strerror, _REMEDY)
                self._wandb = None
                return
        super().setup(args, state, model, **kwargs)

    def on_log(
        self, args: TrainingArguments, state: Any, control: Any, model: Any = None, logs: Any = None, **kwargs: Any
    ) -> None:
        """Report what was logged, after a look at the disk that is to take it."""
        run = None if self._wandb is None else self._wandb.run
        if run is None or run.disabled:
            super().on_log(args, state, control, model=model, logs=logs, **kwargs)
            return
        self._look_at(Path(run.dir).parent)
        with full_disk_told(Path(run.dir)):
            super().on_log(args, state, control, model=model, logs=logs, **kwargs)

    def _look_at(self, directory: Path) -> None:
        """Tell, once, that the disk takes no more, and keep W&B's log of itself from failing at every line."""
        error = None if self._told else refusal(directory)
        if error is None:
            return
        self._told = True
        logger.error(
            "%s takes no more (%s): from now on W&B lacks what metrics.jsonl has, also when there is room again, until "
            "the run is continued from a checkpoint. → %s",
            *(directory, error.strerror, _REMEDY),
        )
        silence(directory)


def refusal(directory: Path) -> OSError | None:
    """Return why a disk takes no block of W&B's files; `None` where it does, or something else is the matter."""
    existing = next(each for each in (directory, *directory.parents) if each.is_dir())
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(bytes(BLOCK))
            file.flush()
    except OSError as error:
        return error if is_full(error) else None
    return None


def silence(directory: Path) -> None:
    """Have W&B's log of itself in a directory go nowhere: each line would be a traceback, and its end an error."""
    for handler in logging.getLogger("wandb").handlers:
        if isinstance(handler, logging.FileHandler) and directory in Path(handler.baseFilename).parents:
            handler.stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it lives as long as the handler
