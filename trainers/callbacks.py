"""Records that a run leaves as it goes: `metrics.jsonl`, sampled lessons, and one readable line per step."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ProgressCallback

from trainers.configuration.settings.experiments import TrainingExperiment
from trainers.configuration.settings.keys import names_where
from trainers.distributed import on_all_ranks
from trainers.jsonl import append, as_lines, mend
from trainers.output.files import cannot_write, told
from trainers.progress import tell
from trainers.teaching.lesson import Group, Lesson
from trainers.teaching.lesson_record import lesson_record, solution_record
from trainers.training.prometheus import install_metrics_port
from trainers.training.wandb_files import install_wandb

logger = logging.getLogger(__name__)

LESSON_LINE = 200
"""Characters of a teaching that the line of a lesson shows."""

LINE = {
    "loss": "loss",
    "reward": "reward",
    "teaching/baseline_accuracy": "alone",
    "teaching/taught_accuracy": "taught",
    "teaching/fix_rate": "fixed",
    "teaching/degradation_rate": "harmed",
    "teaching/leak_rate": "leaks",
    "teaching/blind_leak_rate": "blind leaks",
    "teaching/teaching_length_mean": "length",
    "kl": "kl",
    "distillation/reverse_kl": "from mentor",
    "step_time": "step s",
    "time/rollout_s": "rollout s",
    "time/sync_s": "sync s",
    "time/eta_s": "eta s",
    "mean_token_accuracy": "token accuracy",
}


def install_records(trainer: Trainer, config: TrainingExperiment) -> None:
    """Give a trainer our records in place of transformers' wall of numbers."""
    trainer.remove_callback(ProgressCallback)
    install_wandb(trainer)
    trainer.add_callback(MetricsFile(config.output.output_dir))
    trainer.add_callback(StepLine())
    trainer.add_callback(WandbConfiguration(config))
    install_metrics_port(trainer, config)


class WandbConfiguration(TrainerCallback):
    """Shows the resolved configuration on W&B, under `atlas`, where transformers shows its arguments.

    transformers' own callback starts the run before this one is asked.
    """

    def __init__(self, config: TrainingExperiment) -> None:
        secrets = names_where(secret=True)
        self.config = {key: value for key, value in config.flat().items() if key not in secrets}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Show the configuration, on the rank that reports."""
        if state.is_world_process_zero and "wandb" in args.report_to:
            import wandb

            if wandb.run is not None:
                wandb.run.config.update({"atlas": self.config}, allow_val_change=True)


class MetricsFile(TrainerCallback):
    """Appends every logged step to `metrics.jsonl`: `step`, `time` (Unix seconds) and all metrics.

    A resumed run logs the steps after its checkpoint again; of several objects with one step, the last counts.
    """

    def __init__(self, output_dir: str) -> None:
        self.path = Path(output_dir) / "metrics.jsonl"
        self._unwritten: list[dict[str, Any]] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Cut off a last line that is not whole: the next would be glued to it."""
        if state.is_world_process_zero:
            with told(self.path):
                mend(self.path)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Append what was logged."""
        # What fails here ends all ranks, not rank 0 alone while the others wait for it in the next step.
        on_all_ranks(lambda: self._write(state, logs))

    def _write(self, state: TrainerState, logs: dict[str, Any] | None) -> None:
        if not state.is_world_process_zero or not logs:
            return
        self._unwritten.append({"step": state.global_step, "time": time.time(), **logs})
        try:
            append(self.path, self._unwritten)
        except OSError as error:
            rows = len(self._unwritten)
            logger.error(
                "%s; %d rows are kept until it can be, as long as this run lasts", cannot_write(self.path, error), rows
            )
        else:
            self._unwritten.clear()


class StepLine(TrainerCallback):
    """Writes one short line per logged step with the numbers to follow a run by, and tells a launcher how far it is."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell how many steps there are."""
        tell(stage="training", done=state.global_step, total=state.max_steps)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Tell how many are done."""
        tell(done=state.global_step, note=None)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell that the model is saved now."""
        tell(stage="saving")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write the line of a step."""
        logged = logs or {}
        shown = {name: f"{float(logged[key]):.3g}" for key, name in LINE.items() if _is_number(logged.get(key))}
        if not state.is_world_process_zero or not shown:
            return
        tell(figures=shown)
        figures = "  ".join(f"{name} {value}" for name, value in shown.items())
        logger.info("step %d/%d  %s", state.global_step, state.max_steps, figures)


def lesson_line(lesson: Lesson) -> str:
    """Return a lesson in one line: its question's row, how the student fared alone and taught, and the teaching."""
    alone = [solution.correct for solution in lesson.prepared.baselines]
    fared = {True: "right", False: "wrong", None: "unscorable"}[lesson.taught_correct]
    told = "not solved" if lesson.prepared.unsolved else f"alone {alone.count(True)} of {len(alone)}, taught {fared}"
    teaching = " ".join((lesson.teaching or "no teaching").split())[:LESSON_LINE]
    return f"question {lesson.prepared.question.row}: {told}: {teaching}"


def save_lessons(output_dir: str, step: int, groups: Iterable[Group]) -> None:
    """Write `lessons/step_%06d.jsonl`, one lesson per line."""
    path = Path(output_dir) / "lessons" / f"step_{step:06d}.jsonl"
    rows = [{"step": step, **training_record(lesson)} for group in groups for lesson in group.lessons]
    if rows:
        with told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(as_lines(rows), encoding="utf-8")


def training_record(lesson: Lesson) -> dict[str, Any]:
    """Return all fields of a lesson as one JSON object, token ids and log-probabilities included."""
    prepared, sample = lesson.prepared, lesson.sample
    return lesson_record(lesson) | {
        "approach_tokens": prepared.approach.tokens if prepared.approach else None,
        "approach_truncated": prepared.approach.truncated if prepared.approach else None,
        "baselines": [solution_record(solution) for solution in prepared.baselines],
        "prompt_ids": list(sample.prompt_ids) if sample else None,
        "completion_ids": list(sample.completion.token_ids) if sample else None,
        "logprobs": list(sample.completion.logprobs or ()) if sample else None,
        "weight_version": sample.weight_version if sample else None,
        "extra": prepared.question.extra,
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
