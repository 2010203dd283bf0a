"""The watch over a training: what it logs is shown to the watchers, whose alarms are told, and may end the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.configuration.computed_keys import batch_of
from trainers.configuration.resume.decision import STOP
from trainers.configuration.schedule.evaluation_metrics import PREFIX
from trainers.configuration.settings.experiments import GRPOExperiment
from trainers.grpo.alarms.alarm import AlarmBook, Metrics, Watcher
from trainers.grpo.alarms.blind_leaks import BlindLeaks
from trainers.grpo.alarms.hopelessness import FirstSteps
from trainers.grpo.alarms.trends import Trends
from trainers.jsonl import whole_rows


def install_alarms(trainer: Trainer, config: GRPOExperiment) -> None:
    """Watch a training for everything that gives reason for an alarm."""
    watchers: list[Watcher] = [FirstSteps(batch_of(config).questions), Trends()]
    if config.rollouts.leak_alarm is not None:
        watchers.append(BlindLeaks(float(config.rollouts.leak_alarm)))
    trainer.add_callback(AlarmWatch(watchers, stops=config.rollouts.stop_if_hopeless))


def logged_until(output_dir: str, step: int) -> list[Metrics]:
    """Return what a run that is continued logged until a step; of what was logged twice the last counts."""
    rows: dict[tuple[int, bool], Metrics] = {}
    for row in whole_rows(Path(output_dir) / "metrics.jsonl"):
        if row.get("step", step + 1) <= step:
            rows[row["step"], any(name.startswith(PREFIX) for name in row)] = row
    return list(rows.values())


class AlarmWatch(TrainerCallback):
    """Tells the alarms of a run, on the rank that reports.

    Args:
        watchers: who raise them.
        stops: whether a run that cannot learn is to stop, with a checkpoint, as a user may ask by the file `STOP`.
    """

    def __init__(self, watchers: Sequence[Watcher], *, stops: bool) -> None:
        self._watchers = watchers
        self._stops = stops
        self._book: AlarmBook | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look at what was logged before, where the run is continued."""
        if not state.is_world_process_zero:
            return
        output_dir = str(args.output_dir)
        self._book = AlarmBook(output_dir)
        earlier = logged_until(output_dir, state.global_step) if state.global_step else []
        for watcher in self._watchers:
            watcher.begin(state.global_step, earlier)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show what was logged to the watchers."""
        if self._book is None:
            return
        found = [alarm for watcher in self._watchers for alarm in watcher.look(state.global_step, logs or {})]
        self._book.tell(state.global_step, found)
        hopeless = [alarm.text for alarm in found if alarm.hopeless]
        if hopeless and self._stops:
            # Every rank stops after the next step, where rank 0 looks for this file.
            reason = f"it cannot learn (stop_if_hopeless=true): {'; '.join(hopeless)}"
            (Path(args.output_dir or ".") / STOP).write_text(reason, encoding="utf-8")
