"""Training ends when its evaluations have not got better for a while, also across interruptions."""

from __future__ import annotations

import logging
from typing import Any

from transformers import EarlyStoppingCallback, Trainer, TrainerControl, TrainerState, TrainingArguments

from trainers.configuration.settings.experiments import TrainingExperiment

logger = logging.getLogger(__name__)


class Patience(EarlyStoppingCallback):
    """transformers' `EarlyStoppingCallback`, which says when it stops and goes on counting after a resume.

    transformers restores what callbacks had counted only together with the trainer's control, which may say that
    training is to stop, as it did when the checkpoint was written.
    """

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take up the count of the checkpoint; one that was made without early stopping has none."""
        kept = state.stateful_callbacks.setdefault(type(self).__name__, self.state())
        self.early_stopping_patience_counter = kept["attributes"]["early_stopping_patience_counter"]

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **kwargs: Any,
    ) -> None:
        """Stop training after too many evaluations in a row that were no better than the best before."""
        super().on_evaluate(args, state, control, metrics, **kwargs)
        waited = self.early_stopping_patience_counter
        if waited >= self.early_stopping_patience and state.is_world_process_zero:
            logger.warning(
                "step %d: %s is no better than %s after %d more evaluations (early_stopping_patience): training ends",
                *(state.global_step, args.metric_for_best_model, state.best_metric, waited),
            )


def install_patience(trainer: Trainer, config: TrainingExperiment) -> None:
    """Let training end when its evaluations no longer get better, where that is asked for."""
    if (patience := config.training.early_stopping_patience) is not None:
        trainer.add_callback(Patience(patience, config.training.early_stopping_threshold))
