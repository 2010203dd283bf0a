"""Room on the disk for what a run writes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from math import ceil
from pathlib import Path

from trainers.configuration import Problem
from trainers.configuration.settings.experiments import Experiment, TrainingExperiment
from trainers.configuration.settings.runs.trainer import TrainerSettings
from trainers.launch.estimates.memory import adapter_parameters, trained_width
from trainers.launch.estimates.model_sizes import ModelShape

GIGABYTE = 10**9
LEAST_FREE = GIGABYTE
STATE_BYTES = 12
"""Per trained parameter in a checkpoint: float32 weights and Adam's two moments."""


def disk_problems(config: Experiment, shape: ModelShape | None) -> Iterator[Problem]:
    """Yield a problem when checkpoints and the final model have no room where `output_dir` is."""
    needed = disk_needed(config, shape)
    free = shutil.disk_usage(_existing(Path(config.output.output_dir).absolute())).free
    if free < needed:
        given = f"output_dir={config.output.output_dir}"
        expected = f"about {needed / GIGABYTE:.1f} GB are needed, {free / GIGABYTE:.1f} GB are free"
        remedy = "free some space, choose another output_dir, or set save_total_limit=2 or save_only_model=true"
        yield Problem(given, expected, remedy)


def disk_needed(config: Experiment, shape: ModelShape | None) -> int:
    """Return the bytes a run may write: checkpoints and final model where the model's size is known, and a reserve."""
    if not isinstance(config, TrainingExperiment) or shape is None:
        return LEAST_FREE
    trained = adapter_parameters(config.lora, shape) if config.lora.use_peft else shape.parameters
    model = trained * trained_width(config, shape)
    each = model + (0 if config.trainer.save_only_model else STATE_BYTES * trained)
    return LEAST_FREE + checkpoints_kept(config.trainer) * each + model * int(config.training.save_final_model)


def checkpoints_kept(trainer: TrainerSettings) -> int:
    """Return the most checkpoints on the disk at once: an old one goes only when the new one is written."""
    if trainer.save_strategy == "no":
        return 0
    limit = trainer.save_total_limit
    saves = checkpoints_written(trainer)
    bounds = [*([limit + 1] if limit else []), *([saves] if saves else [])]
    return min(bounds, default=1)


def checkpoints_written(trainer: TrainerSettings) -> int | None:
    """Return the number of checkpoints that a run writes; `None` where the configuration alone does not say it."""
    if trainer.save_strategy == "steps" and trainer.max_steps > 0 and trainer.save_steps >= 1:
        return -(-trainer.max_steps // int(trainer.save_steps))
    if trainer.save_strategy == "epoch" and trainer.max_steps <= 0:
        return ceil(trainer.num_train_epochs)
    return None


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)
