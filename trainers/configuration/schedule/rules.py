"""Rules between the keys that say when a training run evaluates, saves, warms up and ends. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from trainers.configuration.schedule.evaluation_metrics import FOLLOWS_METRIC, judges_models
from trainers.configuration.settings.experiments import TrainingExperiment
from trainers.configuration.settings.in_words import written
from trainers.problems import Problem

SCHEDULE_NEEDS = {
    "cosine_with_min_lr": ("min_lr", "min_lr_rate"),
    "cosine_warmup_with_min_lr": ("min_lr", "min_lr_rate"),
    "warmup_stable_decay": ("num_decay_steps",),
}
"""Learning rate schedules that cannot be computed without one of these in `lr_scheduler_kwargs`."""

_COSINE = ("num_cycles",)
_PLATEAU = ("mode", "factor", "patience", "threshold", "threshold_mode", "cooldown", "min_lr", "eps")
SCHEDULE_TAKES = {
    "linear": (),
    "cosine": _COSINE,
    "cosine_with_restarts": _COSINE,
    "polynomial": ("lr_end", "power"),
    "constant": (),
    "constant_with_warmup": (),
    "inverse_sqrt": ("timescale",),
    "reduce_lr_on_plateau": _PLATEAU,
    "cosine_with_min_lr": (*_COSINE, "min_lr", "min_lr_rate"),
    "cosine_warmup_with_min_lr": (*_COSINE, "min_lr", "min_lr_rate", "warmup_lr_rate"),
    "warmup_stable_decay": (
        *("num_decay_steps", "num_stable_steps", "warmup_type", "decay_type", "min_lr_ratio"),
        *_COSINE,
    ),
    "greedy": (*_PLATEAU, "warmup", "max_lr", "verbose", "smooth", "window_size", "reset_start"),
}
"""Names that `lr_scheduler_kwargs` may hold for each learning rate schedule."""

WITHOUT_WARMUP = ("constant", *FOLLOWS_METRIC)
"""Schedules that take no notice of `warmup_steps`."""

GREEDY_MIN_LR = 1e-3
"""Where the schedule `greedy` stops lowering the learning rate, unless told: above most rates that one starts with."""


def check_schedule(config: TrainingExperiment) -> Iterator[Problem]:
    """Yield the contradictions of a training run's schedule."""
    yield from _evaluating(config)
    yield from _whole_steps(config)
    yield from _best_model(config)
    yield from _early_stopping(config)
    yield from _learning_rate(config)
    yield from _saving(config)


def remarks(config: TrainingExperiment) -> Iterator[str]:
    """Yield a warning for each setting that is probably not meant, and a remark on the metric that judges models."""
    steps, warmup = config.trainer.max_steps, config.trainer.warmup_steps
    if 1 <= steps <= warmup:
        yield f"warning: warmup_steps={warmup} is not over after max_steps={steps}: learning_rate is never reached"
    if config.trainer.eval_strategy == "steps" and 1 <= steps < (config.trainer.eval_steps or 0):
        yield f"warning: eval_steps={config.trainer.eval_steps} is beyond max_steps={steps}: nothing is evaluated"
    if warmup and config.trainer.lr_scheduler_type in WITHOUT_WARMUP:
        schedule = config.trainer.lr_scheduler_type
        yield f"warning: lr_scheduler_type={schedule} has no warm-up: warmup_steps={warmup:g} has no effect"
    if config.training.early_stopping_patience is not None and not config.trainer.load_best_model_at_end:
        yield "early_stopping_patience without load_best_model_at_end=true: the last model is kept, not the best"
    if judges_models(config):
        more = "more" if config.trainer.greater_is_better else "less"
        yield f"models are judged by {config.trainer.metric_for_best_model}, of which {more} is better"


def _evaluating(config: TrainingExperiment) -> Iterator[Problem]:
    strategy, held_out = config.trainer.eval_strategy, config.data.eval_dataset_id_or_path
    if strategy != "no" and not held_out and config.data.eval_split_ratio == 0:
        remedy = "give eval_dataset_id_or_path, set eval_split_ratio=0.1, or set eval_strategy=no"
        yield Problem("eval_split_ratio=0", f"eval_strategy={strategy} needs evaluation rows", remedy)
    same_split = config.data.eval_dataset_split in (None, config.data.dataset_split)
    if strategy != "no" and held_out and held_out == config.data.dataset_id_or_path and same_split:
        remedy = "name another eval_dataset_split, or leave it out: eval_split_ratio holds rows out"
        yield Problem(f"eval_dataset_id_or_path={held_out}", "expected other rows than those trained on", remedy)
    if strategy == "no":
        if config.trainer.eval_on_start:
            yield Problem("eval_on_start=true", "eval_strategy=no never evaluates", "set eval_strategy=steps")
        if config.trainer.lr_scheduler_type in FOLLOWS_METRIC:
            given = f"lr_scheduler_type={config.trainer.lr_scheduler_type}"
            yield Problem(given, "follows the evaluations, and there are none", "set eval_strategy=steps")


def _whole_steps(config: TrainingExperiment) -> Iterator[Problem]:
    trainer = config.trainer
    events = {
        "logging": (trainer.logging_strategy, trainer.logging_steps),
        "eval": (trainer.eval_strategy, trainer.eval_steps),
        "save": (trainer.save_strategy, trainer.save_steps),
    }
    for event, (strategy, steps) in events.items():
        if strategy == "steps" and steps is not None and steps > 1 and steps != int(steps):
            remedy = f"write {event}_steps={int(steps)}, or a share of the run below 1"
            yield Problem(f"{event}_steps={steps}", "expected a whole number of steps", remedy)


def _early_stopping(config: TrainingExperiment) -> Iterator[Problem]:
    given = f"early_stopping_patience={config.training.early_stopping_patience}"
    if config.training.early_stopping_patience is None:
        return
    if config.trainer.eval_strategy == "no":
        remedy = "set eval_strategy=steps, or leave it out"
        yield Problem(given, "counts evaluations, and eval_strategy=no has none", remedy)
    elif _never_evaluates(config):
        expected = f"counts evaluations, and there is none in max_steps={config.trainer.max_steps}"
        yield Problem(given, expected, f"set eval_steps to at most {config.trainer.max_steps}, or leave it out")


def _best_model(config: TrainingExperiment) -> Iterator[Problem]:
    evaluating, saving, loads = (
        config.trainer.eval_strategy,
        config.trainer.save_strategy,
        config.trainer.load_best_model_at_end,
    )
    if saving != "best" and not loads:
        return
    given = "load_best_model_at_end=true" if loads else "save_strategy=best"
    without = "load_best_model_at_end=false" if loads else "save_strategy=steps"
    if evaluating == "no":
        yield Problem(given, "the best model is known only by evaluating", f"set eval_strategy=steps, or {without}")
        return
    if _never_evaluates(config):
        expected = (
            f"nothing is evaluated in max_steps={config.trainer.max_steps}, so that no model is known to be the best"
        )
        yield Problem(given, expected, f"set eval_steps to at most {config.trainer.max_steps}, or {without}")
    if loads:
        yield from _saved_when_evaluated(config)


def _never_evaluates(config: TrainingExperiment) -> bool:
    steps, every = config.trainer.max_steps, config.trainer.eval_steps or config.trainer.logging_steps
    return config.trainer.eval_strategy == "steps" and 1 <= steps < every


def _saved_when_evaluated(config: TrainingExperiment) -> Iterator[Problem]:
    evaluating, saving, given = (
        config.trainer.eval_strategy,
        config.trainer.save_strategy,
        "load_best_model_at_end=true",
    )
    remedy = f"set save_strategy={evaluating}, save_strategy=best, or load_best_model_at_end=false"
    if saving not in (evaluating, "best"):
        expected = f"every evaluated model must be saved, but eval_strategy={evaluating} and save_strategy={saving}"
        yield Problem(given, expected, remedy)
    every, saved = config.trainer.eval_steps or config.trainer.logging_steps, config.trainer.save_steps
    if saving == evaluating == "steps" and saved != every:
        expected = (
            f"of the models evaluated (eval_steps={every:g}) the best might not be among those saved, and another "
        )
        expected += "would be loaded for it"
        remedy = f"set save_steps={every:g}, save_strategy=best, or load_best_model_at_end=false"
        yield Problem(f"save_steps={saved:g}", expected, remedy)
    if config.trainer.save_only_model:
        expected = "DeepSpeed loads the best model from a whole checkpoint, with optimizer states"
        remedy = "set save_only_model=false, or load_best_model_at_end=false"
        yield Problem(f"save_only_model=true {given}", expected, remedy)


def _learning_rate(config: TrainingExperiment) -> Iterator[Problem]:
    schedule, given = config.trainer.lr_scheduler_type, config.trainer.lr_scheduler_kwargs
    if given is not None and not isinstance(given, Mapping):
        remedy = "write for example lr_scheduler_kwargs.min_lr=1e-7"
        yield Problem(f"lr_scheduler_kwargs={written(given)}", "expected a mapping {name: value}", remedy)
        return
    needed, taken = SCHEDULE_NEEDS.get(schedule, ()), SCHEDULE_TAKES[schedule]
    if needed and not set(needed) & set(given or {}):
        remedy = f"write lr_scheduler_kwargs.{needed[0]}=…, or choose another schedule, such as cosine"
        yield Problem(f"lr_scheduler_type={schedule}", f"needs {' or '.join(needed)} in lr_scheduler_kwargs", remedy)
    for name, value in (given or {}).items():
        if name not in taken:
            close = get_close_matches(str(name), taken, n=1)
            remedy = f"did you mean {close[0]}?" if close else f"it takes {', '.join(taken) or 'none'}"
            expected = f"lr_scheduler_type={schedule} has no such setting"
            yield Problem(f"lr_scheduler_kwargs.{name}={written(value)}", expected, remedy)
    if schedule == "greedy":
        yield from _greedy(config.trainer.learning_rate, given or {})


def _greedy(rate: float, given: Mapping[str, Any]) -> Iterator[Problem]:
    least = given.get("min_lr", GREEDY_MIN_LR)
    if isinstance(least, int | float) and least > rate:
        expected = f"the first time it lowers learning_rate={rate:g} it would raise it to min_lr={least:g}"
        remedy = f"write lr_scheduler_kwargs.min_lr={rate / 10:g}"
        yield Problem("lr_scheduler_type=greedy", expected, remedy)


def _saving(config: TrainingExperiment) -> Iterator[Problem]:
    if config.trainer.dataloader_prefetch_factor is not None and config.trainer.dataloader_num_workers == 0:
        given = f"dataloader_prefetch_factor={config.trainer.dataloader_prefetch_factor}"
        yield Problem(
            given, "nothing is fetched ahead without workers", "set dataloader_num_workers=1, or leave it out"
        )
