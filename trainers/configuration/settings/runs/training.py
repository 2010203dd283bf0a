"""Batches, sharding and output of a training."""

from __future__ import annotations

from typing import Literal

from trainers.configuration.settings.key import Number, Resume, Settings, key


class TrainingSettings(Settings):
    """Settings that SFT and GRPO have in common beyond the arguments of their trainers."""

    train_batch_size: int = key(
        16, "Sequences (SFT) or completions (GRPO) per optimizer step, over all processes.", ge=1, speed=True
    )
    deepspeed: Literal["zero1", "zero2", "zero3", "zero3_cpu_offloading"] = key(
        "zero3", "DeepSpeed stage; the words zero1, zero2, zero3, offload set it.", resume=Resume.FREE, speed=True
    )
    processes: int = key(
        1,
        "Training processes the batch was fitted for; set by the launcher.",
        ge=1,
        computed=True,
        resume=Resume.FREE,
        speed=True,
    )
    resume_from: str | None = key(
        None, "Checkpoint the trainer continues from; decided from `resume`.", computed=True, resume=Resume.FREE
    )
    early_stopping_patience: int | None = key(
        None,
        "Evaluations in a row without a better metric_for_best_model after which training ends; null: it goes on.",
        ge=1,
        resume=Resume.FREE,
    )
    early_stopping_threshold: Number = key(
        0.0,
        "Least difference from the best metric so far that counts as better.",
        ge=0,
        resume=Resume.FREE,
        needs="early_stopping_patience",
    )
    save_grace_s: Number = key(
        25,
        "Seconds after TERM in which the trainer may end its step and save; Slurm kills KillWait (30 s) after TERM.",
        ge=0,
        resume=Resume.FREE,
        in_card=False,
    )
    metrics_port: int | None = key(
        None,
        "Port on 127.0.0.1 of the first training process at which Prometheus finds the last figures; null: none.",
        ge=1,
        le=65535,
        resume=Resume.FREE,
        in_card=False,
    )
    save_final_model: bool = key(True, "Write the final model and tokenizer to output_dir.", resume=Resume.FREE)
