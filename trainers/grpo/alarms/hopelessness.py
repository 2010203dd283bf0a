"""Signs in the first steps of a run that it cannot learn: each is told once, with what to do, or ends the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.configuration.computed_keys import batch_of
from trainers.configuration.resume.decision import STOP
from trainers.configuration.settings.experiments import GRPOExperiment
from trainers.grpo.lesson_batches import AGREEMENT

FIRST_STEPS = 5
FIRST_QUESTIONS = 32
"""Questions before which agreement may be chance."""
NEARLY_ALL = 0.95
BUDGETS = {
    "teaching": "max_completion_length",
    "baseline": "student_max_tokens",
    "taught": "student_max_tokens",
}
"""Stages of a lesson without whose end there is no verdict, with the keys of their budgets."""
NAMES = {"teaching": "teaching", "baseline": "solution of the student alone", "taught": "taught solution"}
logger = logging.getLogger(__name__)

Metrics = Mapping[str, Any]


def install_hope(trainer: Trainer, config: GRPOExperiment) -> None:
    """Watch the first steps of a training."""
    trainer.add_callback(HopelessnessWatch(batch_of(config).questions, config.rollouts.stop_if_hopeless))


def signs(means: Metrics) -> Iterator[str]:
    """Yield why nothing will be learned, each with what helps, from the means of the first steps' metrics."""
    if means.get("teaching/format_failure_rate", 0.0) >= NEARLY_ALL:
        yield (
            "the teacher writes no <teaching>…</teaching>, without which nothing reaches the student. → warm it up by "
            "SFT first (configs/run/teacher_sft.yaml), or raise max_completion_length if it is still thinking"
        )
    cut = [stage for stage in BUDGETS if means.get(f"teaching/truncated_rate/{stage}", 0.0) >= NEARLY_ALL]
    if cut:
        keys = ", ".join(dict.fromkeys(BUDGETS[stage] for stage in cut))
        yield f"nearly every {' and '.join(NAMES[stage] for stage in cut)} is cut off by its budget. → raise {keys}"
    alone, taught = means.get("teaching/baseline_accuracy"), means.get("teaching/taught_accuracy")
    if alone == 0.0 and taught == 0.0:
        yield (
            "the student solved no question, neither alone nor taught. → look at its solutions in lessons/: is the "
            "answer in the form that the verifier reads? Else choose easier questions, or a stronger student"
        )
    if alone == 1.0:
        yield (
            "the student solved every question alone: there is nothing to teach. → choose harder questions, or a "
            "weaker student"
        )
    if means.get(AGREEMENT) == 1.0:
        yield (
            "all lessons of each group earned the same, so that no step changed anything. → raise num_generations or "
            "temperature, choose questions that the student solves sometimes, or set question_order=difficulty"
        )


class FirstSteps:
    """The metrics of the first steps, until there are enough of them to judge."""

    def __init__(self, questions: int) -> None:
        self._questions = questions
        self._seen: list[Metrics] = []
        self._judged = False

    def add(self, metrics: Metrics, steps: int) -> list[str]:
        """Take what was logged after so many steps in all; return the signs, once, when there is enough to tell."""
        if self._judged or "teaching/format_failure_rate" not in metrics:
            return []
        self._seen.append(metrics)
        if steps < FIRST_STEPS or steps * self._questions < FIRST_QUESTIONS:
            return []
        self._judged = True
        names = {name for each in self._seen for name in each}
        values = {name: [each[name] for each in self._seen if name in each] for name in names}
        return list(signs({name: fmean(found) for name, found in values.items() if _numbers(found)}))


def _numbers(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) for value in values)


class HopelessnessWatch(TrainerCallback):
    """Warns of a run that cannot learn, or asks it to stop, with a checkpoint, as a user may by the file `STOP`.

    Args:
        questions: of a step.
        stops: whether the run is to stop.
    """

    def __init__(self, questions: int, stops: bool) -> None:
        self._first = FirstSteps(questions)
        self._stops = stops
        self._begun = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count from here: a run that is continued has first steps of its own."""
        self._begun = state.global_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take what was logged."""
        if not state.is_world_process_zero:
            return
        found = self._first.add(logs or {}, state.global_step - self._begun)
        for sign in found:
            logger.warning("step %d: this run cannot learn: %s", state.global_step, sign)
        if found and self._stops:
            # Every rank stops after the next step, where rank 0 looks for this file.
            reason = f"it cannot learn (stop_if_hopeless=true): {'; '.join(found)}"
            (Path(args.output_dir or ".") / STOP).write_text(reason, encoding="utf-8")
