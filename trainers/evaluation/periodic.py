"""The evaluation of a teacher in training: the results of `summary`, from lessons of the run's own servers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from trainers.evaluation.measured import Alone, Effort, Taught
from trainers.evaluation.summary import student_alone, taught_arm
from trainers.teaching.lesson import Group

UNMEASURED = Effort(math.nan)
"""All questions are worked on at once here, so that what a single one takes says nothing."""


def save_periodic_summary(output_dir: str, step: int, groups: Sequence[Group], level_column: str | None = None) -> Path:
    """Write `evaluations/step_%06d.json`: the arms of an evaluation at a training step, with their intervals."""
    alone = [Alone(group.prepared, UNMEASURED, UNMEASURED) for group in groups]
    taught = [Taught(group, UNMEASURED) for group in groups]
    arms = [student_alone(alone), taught_arm("teacher", alone, taught, level_column=level_column)]
    path = Path(output_dir) / "evaluations" / f"step_{step:06d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    summary = {"step": step, "arms": [arm.as_dict() for arm in arms]}
    path.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path
