"""Differences between two configurations, and whether one may continue the run that the other began."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.configuration.schedule.evaluation_metrics import FOLLOWS_METRIC
from trainers.configuration.settings.experiments import Experiment, TrainingExperiment
from trainers.configuration.settings.judges import with_judging_alone
from trainers.configuration.settings.key import EvaluationResume, Resume
from trainers.configuration.settings.keys import keys_of, names_where
from trainers.configuration.settings.student_tables import same_students, table_changes
from trainers.configuration.settings.students import POOLS

GONE = "(no key any more)"
_RATE_WITHOUT_END = ("constant", "constant_with_warmup", "inverse_sqrt", *FOLLOWS_METRIC)


def difference(old: Mapping[str, Any], new: Experiment) -> dict[str, str]:
    """Return the keys that shape training and differ, each as `key: old → new`; epochs only without `max_steps`.

    Args:
        old: the flat keys that an earlier run saved; those it did not have yet count as their defaults.
        new: the run that is asked for.
    """
    before = with_judging_alone(_with_defaults(old, new))
    now = with_judging_alone(new.flat())
    compared = (before.keys() | now.keys()) - _free(before, now)
    return {
        name: _change(name, before.get(name), now.get(name, GONE))
        for name in sorted(compared)
        if not _same(name, before.get(name), now.get(name))
    }


def _with_defaults(old: Mapping[str, Any], new: Experiment) -> dict[str, Any]:
    """Return the flat keys of an earlier run, with the defaults of those that it did not have yet."""
    return {name: key.default for name, key in keys_of(new.output.experiment).items()} | dict(old)


def lengthens(differing: Mapping[str, str]) -> bool:
    """Return whether configurations only differ in how long they run."""
    return bool(differing) and differing.keys() <= names_where(resume=Resume.LENGTH)


def shaping_lessons(differing: Mapping[str, str]) -> list[str]:
    """Return the differences that keep an evaluation from being continued."""
    return [text for name, text in differing.items() if name not in names_where(parts=EvaluationResume.FREE)]


def longer(old: Mapping[str, Any], new: TrainingExperiment) -> bool:
    """Return whether the new configuration asks for more steps."""
    steps = new.trainer.max_steps
    before = _with_defaults(old, new)
    if before["max_steps"] > 0 or steps > 0:
        return bool(0 < before["max_steps"] < steps)
    return bool(before["num_train_epochs"] < new.trainer.num_train_epochs)


def unreadable(old: Mapping[str, Any], new: TrainingExperiment) -> str | None:
    """Return why optimizer states that a run of `old` saved cannot be read by one of `new`; `None` when they can.

    DeepSpeed divides them among the processes, and reads them only divided as they were written.
    """
    if old.get("save_only_model"):
        return "it holds the model without optimizer states (save_only_model=true)"
    before = _division(old.get("processes"), old.get("deepspeed"))
    now = _division(new.training.processes, new.training.deepspeed)
    return None if before == now else f"its optimizer states are divided for {before}, and this run has {now}"


def fixed_schedule(config: TrainingExperiment) -> bool:
    """Return whether the learning rate of a step depends on how many steps there are in all."""
    return config.trainer.lr_scheduler_type not in _RATE_WITHOUT_END or 0 < config.trainer.warmup_steps < 1


def _free(before: Mapping[str, Any], now: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys that need not be the same in both configurations."""
    free = names_where(resume=Resume.FREE) | names_where(secret=True)
    if now.get("lr_scheduler_type") not in FOLLOWS_METRIC:
        free |= names_where(resume=Resume.EVALUATION)
    if min(before.get("max_steps", -1), now.get("max_steps", -1)) > 0:
        free |= {"num_train_epochs"}
    return free


def _change(name: str, old: Any, new: Any) -> str:
    return table_changes(name, old, new) if name in POOLS else f"{name}: {old} → {new}"


def _same(name: str, old: Any, new: Any) -> bool:
    """Return whether values of a key are equal, or two spellings of one path, of which one begins at the root."""
    if name in POOLS:
        return same_students(old, new)
    if isinstance(old, str) and isinstance(new, str) and Path(old).is_absolute() != Path(new).is_absolute():
        return Path(old).resolve() == Path(new).resolve()
    return bool(old == new)


def _division(processes: Any, deepspeed: Any) -> str:
    stage = "zero3" if str(deepspeed).startswith("zero3") else "zero1 or zero2"
    return f"{processes} processes with {stage}"
