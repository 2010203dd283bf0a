"""What must agree between the keys that say when a training run evaluates, saves, warms up and ends. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trainers.configuration.problems import Problem

SCHEDULE_NEEDS = {
    "cosine_with_min_lr": ("min_lr", "min_lr_rate"),
    "cosine_warmup_with_min_lr": ("min_lr", "min_lr_rate"),
    "warmup_stable_decay": ("num_decay_steps",),
}
"""Learning rate schedules that cannot be computed without one of these in `lr_scheduler_kwargs`."""

FOLLOWS_METRIC = ("reduce_lr_on_plateau", "greedy")


def check_schedule(config: Mapping[str, Any]) -> Iterator[Problem]:
    """The contradictions of a training run's schedule."""
    yield from _evaluating(config)
    yield from _whole_steps(config)
    yield from _best_model(config)
    yield from _learning_rate(config)
    yield from _saving(config)


def remarks(config: Mapping[str, Any]) -> Iterator[str]:
    """What is allowed, and probably not meant: one line each."""
    steps, warmup = config["max_steps"], config["warmup_steps"]
    if 1 <= steps <= warmup:
        yield f"warning: warmup_steps={warmup} is not over after max_steps={steps}: learning_rate is never reached"
    if config["eval_strategy"] == "steps" and 1 <= steps < (config["eval_steps"] or 0):
        yield f"warning: eval_steps={config['eval_steps']} is beyond max_steps={steps}: nothing is evaluated"


def _evaluating(config: Mapping[str, Any]) -> Iterator[Problem]:
    strategy, held_out = config["eval_strategy"], config["eval_dataset_id_or_path"]
    if strategy != "no" and not held_out and config["eval_split_ratio"] == 0:
        remedy = "give eval_dataset_id_or_path, set eval_split_ratio=0.1, or set eval_strategy=no"
        yield Problem("eval_split_ratio=0", f"eval_strategy={strategy} needs evaluation rows", remedy)
    same_split = config["eval_dataset_split"] in (None, config["dataset_split"])
    if strategy != "no" and held_out and held_out == config["dataset_id_or_path"] and same_split:
        remedy = "name another eval_dataset_split, or leave it out: eval_split_ratio holds rows out"
        yield Problem(f"eval_dataset_id_or_path={held_out}", "expected other rows than those trained on", remedy)
    if strategy == "no":
        if config["eval_on_start"]:
            yield Problem("eval_on_start=true", "eval_strategy=no never evaluates", "set eval_strategy=steps")
        if config["lr_scheduler_type"] in FOLLOWS_METRIC:
            given = f"lr_scheduler_type={config['lr_scheduler_type']}"
            yield Problem(given, "follows the evaluations, and there are none", "set eval_strategy=steps")


def _whole_steps(config: Mapping[str, Any]) -> Iterator[Problem]:
    for event in ("logging", "eval", "save"):
        steps = config[f"{event}_steps"]
        if config[f"{event}_strategy"] == "steps" and steps is not None and steps > 1 and steps != int(steps):
            remedy = f"write {event}_steps={int(steps)}, or a share of the run below 1"
            yield Problem(f"{event}_steps={steps}", "expected a whole number of steps", remedy)


def _best_model(config: Mapping[str, Any]) -> Iterator[Problem]:
    evaluating, saving = config["eval_strategy"], config["save_strategy"]
    if saving == "best" and not config["metric_for_best_model"]:
        yield Problem("save_strategy=best", "needs a metric", "set metric_for_best_model, such as eval_reward")
    if not config["load_best_model_at_end"]:
        return
    given = "load_best_model_at_end=true"
    if evaluating == "no":
        remedy = "set eval_strategy=steps, or load_best_model_at_end=false"
        yield Problem(given, "the best model is known only by evaluating", remedy)
    elif saving not in (evaluating, "best"):
        expected = f"every evaluated model must be saved, but eval_strategy={evaluating} and save_strategy={saving}"
        yield Problem(given, expected, f"set save_strategy={evaluating}, or load_best_model_at_end=false")
    elif saving == evaluating == "steps":
        yield from _saved_when_evaluated(config)


def _saved_when_evaluated(config: Mapping[str, Any]) -> Iterator[Problem]:
    every = config["eval_steps"] or config["logging_steps"]
    saved = config["save_steps"]
    if min(every, saved) >= 1 and saved % every:
        remedy = f"set save_steps={every}, or load_best_model_at_end=false"
        yield Problem(f"save_steps={saved}", f"load_best_model_at_end needs a multiple of eval_steps={every}", remedy)


def _learning_rate(config: Mapping[str, Any]) -> Iterator[Problem]:
    schedule, given = config["lr_scheduler_type"], config["lr_scheduler_kwargs"]
    needed = SCHEDULE_NEEDS.get(schedule, ())
    if needed and not (isinstance(given, Mapping) and set(needed) & given.keys()):
        remedy = f"write lr_scheduler_kwargs.{needed[0]}=…, or choose another schedule, such as cosine"
        yield Problem(f"lr_scheduler_type={schedule}", f"needs {' or '.join(needed)} in lr_scheduler_kwargs", remedy)


def _saving(config: Mapping[str, Any]) -> Iterator[Problem]:
    if config["dataloader_prefetch_factor"] is not None and config["dataloader_num_workers"] == 0:
        given = f"dataloader_prefetch_factor={config['dataloader_prefetch_factor']}"
        yield Problem(
            given, "nothing is fetched ahead without workers", "set dataloader_num_workers=1, or leave it out"
        )
