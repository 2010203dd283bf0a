"""One number of micro-batches per step for all who ask."""

from __future__ import annotations

from transformers import Trainer


def agree_on_accumulation(trainer: Trainer) -> None:
    """Tell accelerate over how many micro-batches gradients accumulate, where DeepSpeed is told too.

    transformers counts micro-batches itself and tells accelerate 1, but DeepSpeed the real number. accelerate then
    takes DeepSpeed's, with a warning of a mismatch that nobody made.
    """
    if trainer.is_deepspeed_enabled:
        trainer.accelerator.gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
