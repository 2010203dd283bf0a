"""TRL's GRPO with a mentor in place of the reward: every token has an advantage, which TRL's loss takes as it is."""

from __future__ import annotations

from typing import Any

from trainers.grpo.distillation.advantages import token_advantages
from trainers.grpo.trl.rollout_function import MENTOR_LOGPROBS
from trainers.grpo.trl.unpadded_trainer import UnpaddedGRPOTrainer


class DistillingTrainer(UnpaddedGRPOTrainer):
    """Learns from a mentor where `log_ratio_clip` is set, the most nats that an advantage may be; else from rewards."""

    log_ratio_clip: float | None = None

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        scored = super()._generate_and_score_completions(inputs)
        if self.log_ratio_clip is not None and self.model.training:
            mentors = [row[MENTOR_LOGPROBS] for row in inputs]
            scored["advantages"] = token_advantages(scored["sampling_per_token_logps"], mentors, self.log_ratio_clip)
        return scored
