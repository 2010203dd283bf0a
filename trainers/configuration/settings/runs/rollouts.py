"""Rollouts of a GRPO training, and the weights that its servers get."""

from __future__ import annotations

from trainers.configuration.settings.key import Number, Resume, Settings, key


class RolloutSettings(Settings):
    """The way that rollouts overlap with training, what may be lost, and how weights reach the servers."""

    rollout_overlap: int = key(
        0, "1 generates the next rollout while training on the last; 0 is strictly on-policy.", ge=0, le=1
    )
    max_lost_groups: Number = key(
        0.25, "Share of a step's groups that may be lost before the run stops.", ge=0, le=1, resume=Resume.FREE
    )
    stop_if_hopeless: bool = key(
        False,
        "Stop a run whose first steps show that it cannot learn; what they show is warned of in any case.",
        resume=Resume.FREE,
    )
    leak_alarm: Number | None = key(
        0.05,
        "Share of blind leaks, among the last 200 checks, above which an alarm is logged; null: none.",
        ge=0,
        lt=1,
        resume=Resume.FREE,
    )
    save_completions_probability: Number = key(
        0.1, "Share of groups whose lessons are written to lessons/.", ge=0, le=1, resume=Resume.FREE
    )
    weight_transfer: str = key(
        "auto",
        "How weights reach the teacher's servers: auto, gloo, nccl, ipc, or the dotted path of a transport.",
        resume=Resume.FREE,
    )
    trainer_address: str | None = key(
        None,
        "Address at which teacher servers reach the first training process for weights; null: that of its host.",
        resume=Resume.FREE,
    )
    trainer_class: str | None = key(
        None,
        "Dotted path of a class derived from trainers.grpo.trainer.TeacherGRPOTrainer, with a loss of its own.",
    )
    verify_weights_every: int = key(
        50,
        "Compare a server's greedy tokens with the trainer's own pass after the weight updates 1, 2, 4, 8, … "
        "and every so many; 0: only after those.",
        ge=0,
        resume=Resume.FREE,
    )
    verify_weights_tolerance: Number | None = key(
        None,
        "Difference of log-probabilities that ends the run; null: what rounding explains in the precision.",
        gt=0,
        resume=Resume.FREE,
    )
