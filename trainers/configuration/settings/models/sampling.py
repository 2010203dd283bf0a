"""The way that the teacher samples."""

from __future__ import annotations

from trainers.configuration.settings.key import Number, Settings, trl_key


class SamplingSettings(Settings):
    """The teacher's sampling, by the names that TRL has for it."""

    temperature: Number = trl_key(1.0, ge=0, reported=True)
    top_p: Number = trl_key(1.0, gt=0, le=1)
    top_k: int = trl_key(0, ge=0)
    min_p: Number | None = trl_key(None, ge=0, le=1)
    repetition_penalty: Number = trl_key(1.0, gt=0)
    max_completion_length: int = trl_key(512, ge=1, speed=True, fits_prompts=True)
