"""Train a teacher's policy by TRL's `GRPOTrainer`, with lessons in place of completions, and checkpoint all of it.

What TRL does stays TRL's: advantages, importance correction, the loss, checkpoints. Ours is the rollout
(`grpo.rollouts`), which rank 0 runs once for all ranks (`grpo.rollout_trainer`), possibly a step ahead
(`grpo.overlap`), the reward that comes with it (`grpo.trl.rollout_function`), the weight sync
(`models.served_teacher`), and a policy pass without padding (`grpo.trl.unpadded_trainer`).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from torch import nn

from trainers.distributed import on_all_ranks, shared_out
from trainers.grpo.abandonment import asked_to_end
from trainers.grpo.checkpoint_files import (
    Progress,
    load_progress,
    load_reference,
    load_rollout_in_use,
    save_progress,
    save_reference,
    save_rollout_in_use,
    steps_of,
)
from trainers.grpo.rollout_costs import CapTooLow
from trainers.grpo.rollout_trainer import (
    EvaluationFailed,
    RolloutDiscarded,
    RolloutFailed,
    RolloutGivenUp,
    RolloutTrainer,
)
from trainers.serving.weights.weight_sync import WeightSyncError
from trainers.training.whole_checkpoints import WholeCheckpoints

logger = logging.getLogger(__name__)


class TeacherGRPOTrainer(WholeCheckpoints, RolloutTrainer):
    """Trains the policy of a teacher on lessons.

    Args:
        model: the policy.
        args: TRL's configuration.
        questions: the training questions, each with a `row` of its own.
        runner: makes rollouts; on rank 0 only, `None` elsewhere.
        weight_sync: updates the teacher servers; on rank 0 only, `None` elsewhere.
        processing_class: the teacher's tokenizer.
        num_baselines: how often the student solves each question alone.
        save_completions_probability: share of groups written to `lessons/`.
        max_lost_groups: a rollout that loses a larger share of its groups is discarded, and ends the run.
        rollout_overlap: 1 runs the next rollout while the last one is trained on, 0 keeps training strictly on-policy.
        evaluation_questions: questions for the periodic evaluation, if any.
        curriculum: which questions are asked, and whether groups that teach nothing are replaced.
        log_ratio_clip: most that the advantage of a token may be, in nats, where a mentor reads the lessons; `None`
            without one, where lessons have advantages by their rewards.
        weight_verifier: makes sure that servers compute with the weights they are sent; on every rank, or nowhere.

    Raises:
        ValueError: when the questions do not fill one rollout.
    """

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        """Train from the start, or from exactly where a checkpoint was made.

        Args:
            resume_from_checkpoint: the checkpoint's directory, if any.
            kwargs: passed on to TRL.

        Raises:
            RolloutFailed, EvaluationFailed, WeightSyncError: when servers gave out, after a checkpoint of the last
                step. Where the run was asked to end, that is no failure.
            CapTooLow: when a spending cap leaves too little for the next rollout, likewise.
        """
        if resume_from_checkpoint:
            self._restore(Path(str(resume_from_checkpoint)))
        try:
            ended = super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)
        except RolloutDiscarded as error:
            if self.accelerator.is_main_process:
                logger.error("%s", error)
            self.stopped_early = True
            self._keep_last_step()
            ended = None
        except (RolloutFailed, EvaluationFailed, WeightSyncError) as error:
            if not isinstance(error, RolloutGivenUp) and not self._asked_to_end():
                self._keep_last_step()
                raise
            if self.accelerator.is_main_process:
                logger.error("%s", error)
            self.stopped_early = self.interrupted = True
            if self.state.global_step > 0:
                self._save_checkpoint(self.model, None)
            ended = None
        except CapTooLow:
            self._keep_last_step()
            raise
        on_all_ranks(lambda: self.records.save(self.args.output_dir) if self.runner is not None else None)
        return ended

    def _asked_to_end(self) -> bool:
        """Return on every rank what rank 0 knows: the others may not see its files."""
        return shared_out(lambda: [asked_to_end(self.args.output_dir)] * self.accelerator.num_processes)

    def _keep_last_step(self) -> None:
        """Save what was learned until now: all ranks come here between two steps."""
        if self.args.save_strategy != "no" and self.state.global_step > 0:
            self._save_checkpoint(self.model, None)

    def _restore(self, checkpoint: Path) -> None:
        """Take up what transformers does not save: the place within a rollout, lessons run ahead, weight versions."""
        step = steps_of(checkpoint)
        if checkpoint.resolve().parent == Path(self.args.output_dir).resolve():
            self._step_saved = step
        # TRL counts micro-batches from 0 after a resume, and would generate in the middle of a rollout's batches.
        self._step = step * self.args.gradient_accumulation_steps
        if step % self.steps_per_rollout:
            self._buffered_inputs = load_rollout_in_use(checkpoint, self.accelerator, self._layout())
        progress = load_progress(checkpoint)
        self.vllm_generation.version = progress.weight_version
        self.records.restore(progress.questions)
        if self.runner is not None:
            # Servers that went away in the middle of it are back, or the next one tells.
            self._rollouts().restore(progress.ahead, usable=lambda batch: self._lost_too_many(batch) is None)
        if self.args.sync_ref_model:
            load_reference(checkpoint, self._reference(), sharded=self._sharded())

    def save_own_files(self, checkpoint: Path) -> None:
        """Write what `_restore` needs."""
        on_all_ranks(lambda: self._save_progress(checkpoint))
        if self.args.sync_ref_model:
            main = self.accelerator.is_main_process
            save_reference(checkpoint, self._reference(), sharded=self._sharded(), writes=main)

    def _save_progress(self, checkpoint: Path) -> None:
        """This rank's own files."""
        if self.runner is not None:
            ahead = self._rollouts().state()
            # Resuming always sends the weights, which an evaluation may have sent already.
            sent = int(self._last_loaded_step == self.state.global_step)
            save_progress(checkpoint, Progress(self.vllm_generation.version - sent, ahead, self.records.state()))
            self.records.save(self.args.output_dir)
        if self.state.global_step % self.steps_per_rollout:
            save_rollout_in_use(checkpoint, self.accelerator, self._layout(), self._buffered_inputs)

    def _reference(self) -> nn.Module:
        return self.accelerator.unwrap_model(self.ref_model)

    def _sharded(self) -> bool:
        plugin = self.accelerator.state.deepspeed_plugin
        return plugin is not None and plugin.zero_stage == 3

    def _layout(self) -> dict[str, int]:
        """Return the settings that must not have changed for a checkpoint's micro-batches to be of use."""
        names = ("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation", "num_iterations")
        return {"processes": self.accelerator.num_processes} | {name: getattr(self.args, name) for name in names}
