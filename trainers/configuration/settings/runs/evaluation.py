"""The size of an evaluation, and its teachers."""

from __future__ import annotations

from typing import Any

from trainers.configuration.settings.key import EvaluationResume, Resume, Settings, key, trl_key


class EvaluationSizeSettings(Settings):
    """The size of an evaluation."""

    eval_max_samples: int | None = key(
        64, "Questions per evaluation; null takes all.", ge=1, resume=Resume.EVALUATION, parts=EvaluationResume.FREE
    )
    num_generations_eval: int | None = trl_key(None, ge=1, resume=Resume.EVALUATION)


class EvaluationSettings(EvaluationSizeSettings):
    """The teachers of an evaluation, and how many lessons they give."""

    teacher: str | dict[Any, Any] | list[Any] | None = key(
        None,
        "Teacher checkpoint, API model {base_url: …, model: …}, or a list; null evaluates the student alone.",
        parts=EvaluationResume.FREE,
    )
    teacher_names: list[str] | None = key(
        None,
        "Names of the teachers in tables; null derives them from the paths.",
        parts=EvaluationResume.FREE,
        in_card=False,
    )
    student: str | list[str] | None = key(
        None,
        "Names of the students to ask, of those in students and heldout_students; null asks all of them.",
        parts=EvaluationResume.FREE,
        in_card=False,
    )
    num_rollouts: int = key(1, "Lessons per question, teacher and student.", ge=1, reported=True)
    eval_concurrency: int = key(32, "Questions worked on at a time.", ge=1, parts=EvaluationResume.FREE, reported=True)
    level_column: str | None = key(
        None,
        "Column of levels or subsets to break gains down by; null takes level, difficulty, subset or kind.",
        parts=EvaluationResume.FREE,
        reported=True,
    )
