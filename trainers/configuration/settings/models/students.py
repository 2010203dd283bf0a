"""Several students in one run: tables whose entries have the student's keys without prefix."""

from __future__ import annotations

from typing import Any

from trainers.configuration.settings.key import EvaluationResume, Resume, Settings, key


class StudentPoolSettings(Settings):
    """The students that a run draws from, and those that only its evaluations meet."""

    students: dict[Any, Any] | None = key(
        None,
        "A pool of students by name, {small: {model: …}, api: {base_url: …, weight: 2}}: an entry has the keys of "
        "student_* without prefix, which are its defaults, and weight, its share of the groups of a training; null: "
        "student_model.",
        parts=EvaluationResume.FREE,
        speed=True,
        in_card=False,
    )
    heldout_students: dict[Any, Any] | None = key(
        None,
        "Students that no training lesson meets, as in students: periodic evaluations ask them in place of the pool, "
        "evaluations of their own besides it.",
        resume=Resume.EVALUATION,
        parts=EvaluationResume.FREE,
        in_card=False,
    )
