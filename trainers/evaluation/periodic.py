"""The evaluation of a teacher in training: the results of `summary`, from lessons of the run's own servers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from trainers.configuration.schedule.evaluation_metrics import PREFIX
from trainers.evaluation.measures.solved_questions import Alone, Effort, Taught
from trainers.evaluation.measures.summary import student_alone, taught_arm
from trainers.output.files import told, write_whole
from trainers.teaching.lesson import Group
from trainers.teaching.metrics import means_by_student, teaching_metrics

UNMEASURED = Effort(math.nan)
"""All questions are worked on at once here, so that what a single one takes says nothing."""


def periodic_metrics(groups: Sequence[Group], students: Sequence[str] = ()) -> dict[str, float]:
    """Return the metrics of an evaluation: `reward`, the mean over scorable lessons, and those under `teaching/`.

    Those about which these groups say nothing are left out; `schedule.evaluation_metrics` lists all there are. Of a
    pool the `students` each have their own besides, under `teaching/by_student/NAME/`.
    """
    rewards = [lesson.reward for group in groups for lesson in group.lessons if lesson.reward is not None]
    metrics = {f"teaching/{name}": value for name, value in teaching_metrics(groups).items()}
    metrics |= {f"teaching/{name}": mean.value for name, mean in means_by_student(groups, students).items()}
    return ({"reward": fmean(rewards)} if rewards else {}) | metrics


def with_chosen_metric(metrics: Mapping[str, float], chosen: str | None) -> dict[str, float]:
    """Return an evaluation's metrics with the one that models are judged by, NaN where it is missing.

    No model is the best by NaN, and schedules that follow a metric count it as an evaluation without improvement:
    an evaluation that can say nothing about the metric (no wrong student to put right, say) does not end a run.

    Args:
        metrics: as transformers wants them, under `eval_` names.
        chosen: `metric_for_best_model`, with or without `eval_`; `None` where no model is judged.
    """
    name = None if chosen is None else PREFIX + chosen.removeprefix(PREFIX)
    return dict(metrics) if name is None else {name: math.nan, **metrics}


def save_periodic_summary(output_dir: str, step: int, groups: Sequence[Group], level_column: str | None = None) -> Path:
    """Write `evaluations/step_%06d.json`: the arms of an evaluation at a training step, with their intervals."""
    alone = [Alone(group.prepared, UNMEASURED, UNMEASURED) for group in groups]
    taught = [Taught(group, UNMEASURED) for group in groups]
    arms = [student_alone(alone), taught_arm("teacher", alone, taught, level_column=level_column)]
    path = Path(output_dir) / "evaluations" / f"step_{step:06d}.json"
    summary = {"step": step, "arms": [arm.as_dict() for arm in arms]}
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(summary, indent=2, allow_nan=False) + "\n")
    return path
