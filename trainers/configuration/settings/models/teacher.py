"""The teacher's chat template and its servers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from trainers.configuration.settings.key import Number, Resume, Settings, key


class TeacherSettings(Settings):
    """The way that the teacher is prompted. Its keys begin with `teacher_`."""

    prefix: ClassVar[str] = "teacher_"

    chat_template_kwargs: dict[Any, Any] = key({"enable_thinking": False}, "Arguments of the teacher's chat template.")


class ServedTeacherSettings(TeacherSettings):
    """A teacher that servers of ours hold."""

    max_model_len: int | None = key(None, "Context of the teacher's server.", ge=1, fits_prompts=True)
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = key("auto", "Precision of the teacher's server.")
    gpu_memory_utilization: Number = key(
        0.9, "Share of the GPU for the teacher's server.", gt=0, le=1, resume=Resume.FREE
    )
    tensor_parallel_size: int = key(1, "GPUs per teacher server.", ge=1, resume=Resume.FREE)
