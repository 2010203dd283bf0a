"""TRL's GRPO without forward passes over padding, and without passes whose result another pass brings anyway.

The loss and its gradients are TRL's. Everything here overrides methods that TRL does not promise to keep; tests compare
each with TRL's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from trl import GRPOTrainer
from trl.trainer import utils as trl_utils

from trainers.grpo.trl.sampled_head import SampledHead, reshapes, sampling_of
from trainers.grpo.unpadded.balanced_sizes import balanced_sizes
from trainers.grpo.unpadded.importance_sampling import (
    Correction,
    correction_metrics,
    correction_statistics,
    importance_ratio,
)
from trainers.grpo.unpadded.micro_batches import (
    composition_matters,
    cut,
    loss_weight,
    optimizer_steps,
    select,
    sequence_lengths,
    trained,
)
from trainers.grpo.unpadded.padding import Aligned, aligned, in_columns
from trainers.grpo.unpadded.pooled_metrics import (
    completion_counts,
    completion_metrics,
    is_pooled,
    micro_batch_counts,
    pooled,
)
from trainers.output.files import full_disk_told

LOSS_WEIGHT = "loss_weight"
"""Beside the columns of a micro-batch: what its loss by TRL is multiplied by."""


class UnpaddedGRPOTrainer(GRPOTrainer):
    """`GRPOTrainer` whose micro-batches are as wide as their longest sequence, and alike in tokens.

    A micro-batch holds `per_device_train_batch_size` sequences on average, and the same number on every rank. Metrics
    are over all tokens, or sequences, that were trained on.
    """

    _buffered_inputs: list[dict[str, Any]] | None  # TRL's: the micro-batches of the rollout in use

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._micro_batch: dict[str, Any] | None = None
        # Since the last log, of this rank: one tensor per pass, per micro-batch, per rollout.
        self._correction_statistics: list[torch.Tensor] = []
        self._micro_batch_counts: list[torch.Tensor] = []
        self._completion_counts: list[torch.Tensor] = []
        super().__init__(*args, **kwargs)

    @property
    def micro_batches(self) -> int:
        """Micro-batches that are trained on one rollout, repetitions (`num_iterations`) included."""
        return self.args.steps_per_generation * self.args.num_iterations

    @property
    def corrects_in_policy_pass(self) -> bool:
        """True where rollouts are corrected, and the policy is the same for all micro-batches of one."""
        one_step = self.args.gradient_accumulation_steps % self.micro_batches == 0
        return one_step and self.use_vllm and self.args.vllm_importance_sampling_correction

    @property
    def _batches_per_step(self) -> int:
        """Micro-batches of one rollout that an optimizer step uses."""
        return min(self.args.gradient_accumulation_steps, self.args.steps_per_generation)

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        if self._step % self.micro_batches == 0 or self._buffered_inputs is None:
            self._buffered_inputs = self._into_micro_batches(self._generate_and_score_completions(generation_batch))
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

    def _into_micro_batches(self, rollout: dict[str, Any]) -> list[dict[str, Any]]:
        """This rank's share of a scored rollout, cut into the micro-batches of its optimizer steps."""
        mixed = composition_matters(
            self.loss_type,
            entropy_bonus=self._entropy_bonus_enabled,
            top_entropy_quantile=self.top_entropy_quantile,
            router_loss=self.aux_loss_enabled,
        )
        lengths = sequence_lengths(rollout)
        batches = self._batches_per_step
        steps = optimizer_steps(
            lengths,
            steps=self.args.steps_per_generation // batches,
            seed=f"{self.args.seed}/micro-batches/{self.state.global_step}/{self.accelerator.process_index}",
            by_length=not mixed,
        )
        chosen = []
        for step in steps:
            sizes = [len(step) // batches] * batches if mixed else self._common_sizes([lengths[i] for i in step])
            for indices in cut(step, sizes):
                share = len(indices) * batches / len(step)
                weight = loss_weight(self.loss_type, share)
                chosen.append(select(rollout, indices) | {LOSS_WEIGHT: weight})
        return chosen

    def _common_sizes(self, lengths: list[int]) -> list[int]:
        """Return the sizes of a step's micro-batches, which TRL's metrics want to be the same on all ranks."""
        mine = torch.tensor(lengths, device=self.accelerator.device)
        longest = self.accelerator.gather(mine).view(-1, len(lengths)).amax(0)
        return balanced_sizes(longest.tolist(), self._batches_per_step)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        # TRL would compute the policy's log-probabilities of the whole rollout here, for the correction alone.
        self.vllm_importance_sampling_correction = (
            self.args.vllm_importance_sampling_correction and not self.corrects_in_policy_pass
        )
        try:
            rollout = super()._generate_and_score_completions(inputs)
        finally:
            self.vllm_importance_sampling_correction = self.args.vllm_importance_sampling_correction
        if self.model.training and "importance_sampling_ratio" in rollout:
            ratio = rollout["importance_sampling_ratio"]
            self._note_correction(rollout, rollout["old_per_token_logps"], ratio)
        return rollout

    def _generate(self, prompts: list[Any]) -> tuple[Any, ...]:
        generated: tuple[Any, ...] = super()._generate(prompts)
        if self.model.training:
            _, completion_ids, masks, *_ = generated
            ends = [*self.eos_token_ids, self._tokenizer.pad_token_id]
            counts = completion_counts(completion_ids, masks, ends)
            self._completion_counts.append(torch.tensor(counts, device=self.accelerator.device))
        return generated

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """TRL's loss of one micro-batch."""
        self._micro_batch = inputs
        self._micro_batch_counts.append(micro_batch_counts(inputs))
        try:
            loss: torch.Tensor = super().compute_loss(model, inputs, *args, **kwargs)
            return loss * inputs.get(LOSS_WEIGHT, 1.0)
        finally:
            self._micro_batch = None

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        logprobs = torch.zeros(input_ids.size(0), logits_to_keep, device=input_ids.device)
        entropies = torch.zeros_like(logprobs) if compute_entropy else None
        aux_losses = []
        for rows in _in_batches(attention_mask.sum(1), batch_size or input_ids.size(0)):
            batch = aligned(input_ids[rows], attention_mask[rows], logits_to_keep)
            with self._sampled_distribution(batch):
                found, entropy, aux_loss = super()._get_per_token_logps_and_entropies(
                    model,
                    batch.ids,
                    batch.mask,
                    batch.completion_width,
                    compute_entropy=compute_entropy,
                    compute_aux_loss=compute_aux_loss,
                    **kwargs,
                )
            logprobs = logprobs.index_copy(0, rows, in_columns(found, batch.completion_lengths, logits_to_keep))
            if entropies is not None and entropy is not None:
                entropies = entropies.index_copy(0, rows, in_columns(entropy, batch.completion_lengths, logits_to_keep))
            if aux_loss is not None:
                aux_losses.append(aux_loss)
        if self._micro_batch is not None and self.corrects_in_policy_pass:
            self._correct(self._micro_batch, logprobs.detach())
        return logprobs, entropies, torch.stack(aux_losses).mean() if aux_losses else None

    def _sampled_distribution(self, batch: Aligned) -> AbstractContextManager[Any]:
        """Have log-probabilities computed in the distribution that was sampled from, where TRL's are of another."""
        sampling = sampling_of(self.args)
        if not reshapes(sampling):
            return nullcontext()
        head = SampledHead(sampling, batch.ids, batch.mask, batch.completion_width)
        return patch.object(trl_utils, "_ChunkedLogProbFunction", head)

    def _correct(self, micro_batch: dict[str, Any], logprobs: torch.Tensor) -> None:
        """Give a micro-batch the importance ratios that TRL's loss reads, from the policy pass itself."""
        args = self.args
        correction = Correction(
            args.vllm_importance_sampling_mode,
            args.vllm_importance_sampling_clip_min,
            args.vllm_importance_sampling_clip_max,
        )
        ratio = importance_ratio(logprobs, micro_batch["sampling_per_token_logps"], trained(micro_batch), correction)
        micro_batch["importance_sampling_ratio"] = ratio
        self._note_correction(micro_batch, logprobs, ratio)

    def _note_correction(self, batch: dict[str, Any], logprobs: torch.Tensor, ratio: torch.Tensor) -> None:
        sampling = batch["sampling_per_token_logps"]
        self._correction_statistics.append(correction_statistics(logprobs, sampling, trained(batch), ratio))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log as TRL does, with metrics over all that was trained on since the last log, on all ranks."""
        if self.model.training:
            values = self._metrics["train"]
            exact = self._pooled(values)
            for name in filter(is_pooled, list(values)):
                del values[name]
            values.update({name: [value] for name, value in exact.items()})
        # Tables of completions, which TRL writes last, after all that counts.
        tables = Path(self.args.output_dir) / "completions"
        with full_disk_told(tables) if self.log_completions else nullcontext():
            super().log(logs, start_time)

    def _pooled(self, values: Mapping[str, Sequence[float]]) -> dict[str, float]:
        """Return the metrics since the last log, from what all ranks have noted since."""
        found: dict[str, float] = {}
        if self._micro_batch_counts:
            noted = self.accelerator.gather(torch.stack(self._micro_batch_counts))
            found |= pooled(
                values,
                noted.view(self.accelerator.num_processes, -1, noted.size(1)).sum(0).tolist(),
                loss_type=self.loss_type,
                per_sequence=self.importance_sampling_level == "sequence",
                per_step=self.args.gradient_accumulation_steps,
            )
        if self._completion_counts:
            found |= completion_metrics(self.accelerator.gather(torch.cat(self._completion_counts)).tolist())
        if self._correction_statistics:
            found |= correction_metrics(self.accelerator.gather(torch.stack(self._correction_statistics)))
        for noted_here in (self._micro_batch_counts, self._completion_counts, self._correction_statistics):
            noted_here.clear()
        return found


def _in_batches(lengths: torch.Tensor, batch_size: int) -> Sequence[torch.Tensor]:
    """Return the indices of sequences in batches that hold `batch_size` on average, as many batches on every rank."""
    order = torch.argsort(lengths, descending=True, stable=True)
    batches = math.ceil(len(lengths) / batch_size)
    return order.split(balanced_sizes(lengths[order].tolist(), batches))
