"""The mentor: a larger teacher from which the policy is distilled, on servers of its own."""

from __future__ import annotations

from typing import ClassVar, Literal

from trainers.configuration.settings.key import Number, Resume, Settings, key

_SWITCH = "mentor_model"


class MentorSettings(Settings):
    """A larger teacher whose log-probabilities of the policy's own teachings replace the reward.

    Its keys begin with `mentor_`.
    """

    prefix: ClassVar[str] = "mentor_"

    model: str | None = key(
        None,
        "Teacher that the policy is distilled from, by its own teachings: hub id or directory; null: GRPO on rewards.",
        speed=True,
    )
    max_model_len: int | None = key(None, "Context of the mentor's server.", ge=1, needs=_SWITCH)
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = key(
        "auto", "Precision of the mentor's server.", needs=_SWITCH
    )
    gpu_memory_utilization: Number = key(
        0.9, "Share of the GPU for the mentor's server.", gt=0, le=1, resume=Resume.FREE, needs=_SWITCH
    )
    tensor_parallel_size: int = key(1, "GPUs per mentor server.", ge=1, resume=Resume.FREE, needs=_SWITCH)
    solved_share: Number = key(
        1.0,
        "Share of questions that students solve, for reward and metrics; the other lessons end with their teachings.",
        ge=0,
        le=1,
        speed=True,
        needs=_SWITCH,
    )
    log_ratio_clip: Number = key(
        10.0,
        "Most nats by which one token is praised or blamed, however unlikely the mentor finds it.",
        gt=0,
        needs=_SWITCH,
    )
