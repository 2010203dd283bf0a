"""A loss of your own: lessons that were worse than their group's mean weigh more than those that were better.

`TeacherGRPOTrainer.compute_loss` is called once for every micro-batch. `inputs` holds its columns: `prompt_ids`,
`completion_ids`, their masks, and `advantages`, one number per lesson (0 for lessons that are left out). Everything
else of a step, the rollout, its correction and the checkpoints, stays as it is. Choose the class by its dotted path:

    scripts/launch_with_server.sh 1 1 configs/run/quickstart_rl.yaml \\
        trainer_class=examples.custom_loss.CautiousTrainer output_dir=results/quickstart/rl_cautious
"""

from __future__ import annotations

from typing import Any

import torch

from trainers.grpo.trainer import TeacherGRPOTrainer


class CautiousTrainer(TeacherGRPOTrainer):
    """Weighs negative advantages by `caution`."""

    caution = 2.0

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """TRL's loss of a micro-batch, with the weighed advantages."""
        advantages = inputs["advantages"]
        weighed = torch.where(advantages < 0, self.caution * advantages, advantages)
        return super().compute_loss(model, inputs | {"advantages": weighed}, *args, **kwargs)
