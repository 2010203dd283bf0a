"""The optimizer steps of an epoch, counted as the trainers count them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from trainers.configuration.computed_keys import batch_of
from trainers.configuration.settings.experiments import Experiment, GRPOExperiment, TrainingExperiment
from trainers.problems import Problem


def questions_per_rollout(config: GRPOExperiment) -> int:
    """Return the questions of one GRPO rollout, which may last for several optimizer steps."""
    batch = batch_of(config)
    micro_batches = config.trainer.steps_per_generation or batch.accumulation
    return micro_batches * batch.processes * batch.per_device // batch.num_generations


def whole_rollouts(questions: int, per_rollout: int) -> int:
    """Return the rollouts of one epoch; questions that fill no rollout are not asked in it."""
    return questions // per_rollout


def steps_per_rollout(micro_batches: int, num_iterations: int, accumulation: int) -> int:
    """Return the optimizer steps that are trained on one rollout of so many micro-batches per process."""
    return micro_batches * num_iterations // accumulation


def steps_per_epoch(config: TrainingExperiment, rows: int) -> int:
    """Return the optimizer steps of one epoch over so many rows.

    SFT trains on the last batch as it is, however small; GRPO only asks whole rollouts.
    """
    batch = batch_of(config)
    if not isinstance(config, GRPOExperiment):
        return ceil(rows / batch.questions)
    micro_batches = config.trainer.steps_per_generation or batch.accumulation
    per_rollout = steps_per_rollout(micro_batches, config.trainer.num_iterations, batch.accumulation)
    return whole_rollouts(rows, questions_per_rollout(config)) * per_rollout


def too_few_rows(config: Experiment, rows: int) -> Iterator[Problem]:
    """Yield a problem when a GRPO run has too few questions for a single rollout."""
    if isinstance(config, GRPOExperiment) and rows < (needed := questions_per_rollout(config)):
        yield Problem(
            f"dataset_id_or_path={config.data.dataset_id_or_path}: {rows:,} questions to train on",
            f"one rollout asks {needed:,} (train_batch_size={config.training.train_batch_size} completions, "
            f"num_generations={config.trainer.num_generations}), so that training would end before its first step",
            "use more questions, or lower train_batch_size (completions per step) or steps_per_generation",
        )
