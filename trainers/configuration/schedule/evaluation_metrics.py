"""Metrics that a training's evaluations return, by which models and learning rates may be judged. Pure.

transformers compares models, and lowers learning rates, by one number of each evaluation. It takes more of a metric for
better unless its name ends in `loss`, and `reduce_lr_on_plateau` takes less of it for better whatever it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from trainers.configuration.settings.experiments import GRPO, SFT, GRPOExperiment, TrainingExperiment
from trainers.configuration.settings.in_words import written
from trainers.configuration.settings.students import evaluated_members
from trainers.problems import Problem

PREFIX = "eval_"
MORE, LESS, NEITHER = True, False, None
DIRECTIONS: Mapping[str, Mapping[str, bool | None]] = {
    SFT: {"loss": LESS, "mean_token_accuracy": MORE, "entropy": NEITHER},
    GRPO: {
        "reward": MORE,
        "teaching/accuracy_gain": MORE,
        "teaching/approach_length": NEITHER,
        "teaching/baseline_accuracy": NEITHER,
        "teaching/baseline_score": NEITHER,
        "teaching/blind_checks": NEITHER,
        "teaching/blind_leak_rate": LESS,
        "teaching/blind_unknown_rate": LESS,
        "teaching/degradation_rate": LESS,
        "teaching/dropped_groups": LESS,
        "teaching/empty_approach_rate": LESS,
        "teaching/escalated_rate": NEITHER,
        "teaching/fix_rate": MORE,
        "teaching/forged_turn_rate": LESS,
        "teaching/format_failure_rate": LESS,
        "teaching/improvement_rate": MORE,
        "teaching/judge_spread": LESS,
        "teaching/leak_rate": LESS,
        "teaching/midway_format_failure_rate": LESS,
        "teaching/midway_rate": NEITHER,
        "teaching/overlong_rate": LESS,
        "teaching/score_gain": MORE,
        "teaching/solution_tokens/baseline": NEITHER,
        "teaching/solution_tokens/taught": NEITHER,
        "teaching/suspected_leak_rate": LESS,
        "teaching/taught_accuracy": MORE,
        "teaching/taught_score": MORE,
        "teaching/teaching_length_mean": NEITHER,
        "teaching/teaching_length_mean/baseline_right": NEITHER,
        "teaching/teaching_length_mean/baseline_wrong": NEITHER,
        "teaching/teaching_length_std": NEITHER,
        "teaching/token_efficiency": MORE,
        "teaching/tool_failure_rate": LESS,
        "teaching/truncated_rate/approach": LESS,
        "teaching/truncated_rate/baseline": LESS,
        "teaching/truncated_rate/taught": LESS,
        "teaching/truncated_rate/teaching": LESS,
        "teaching/turns/baseline": NEITHER,
        "teaching/turns/taught": NEITHER,
        "teaching/unscorable_rate": LESS,
    },
}
"""Per experiment: the metrics of an evaluation without `eval_`, and whether a better model has more of each."""

TEACHING = "teaching/"

DEFAULT = {SFT: "eval_loss", GRPO: "eval_reward"}
"""The metric where none is named."""

FOLLOWS_METRIC = ("reduce_lr_on_plateau", "greedy")
"""Learning rate schedules that step after evaluations, by their metric."""


def directions(config: TrainingExperiment) -> Mapping[str, bool | None]:
    """Return the metrics of a run's evaluations as in `DIRECTIONS`, of a pool those of each student as well."""
    known = DIRECTIONS[config.output.experiment]
    students = evaluated_members(config) if isinstance(config, GRPOExperiment) else ()
    if len(students) < 2:
        return known
    of_teaching = {metric: better for metric, better in known.items() if metric.startswith(TEACHING)}
    return {
        **known,
        **{
            f"{TEACHING}by_student/{member.name}/{metric.removeprefix(TEACHING)}": better
            for member in students
            for metric, better in of_teaching.items()
        },
    }


def judges_models(config: TrainingExperiment) -> bool:
    """Return whether a run keeps or loads models, ends, or schedules by a metric of its evaluations."""
    if config.training.early_stopping_patience is not None:
        return True
    follows = config.trainer.lr_scheduler_type in FOLLOWS_METRIC
    return bool(config.trainer.load_best_model_at_end) or config.trainer.save_strategy == "best" or follows


def with_metric(config: TrainingExperiment) -> dict[str, Any]:
    """Return the keys that say by which metric a training judges, the ones left out filled in.

    They are `metric_for_best_model`, `greater_is_better` and, for schedules that follow a metric, `mode` among
    `lr_scheduler_kwargs`. A metric that is not known gets no direction: `check_metric` refuses it.
    """
    if not judges_models(config) and config.trainer.metric_for_best_model is None:
        return {}
    name = config.trainer.metric_for_best_model or DEFAULT[config.output.experiment]
    greater = config.trainer.greater_is_better
    if greater is None:
        greater = directions(config).get(name.removeprefix(PREFIX))
    filled: dict[str, Any] = {"metric_for_best_model": name, "greater_is_better": greater}
    given = config.trainer.lr_scheduler_kwargs or {}
    if config.trainer.lr_scheduler_type in FOLLOWS_METRIC and greater is not None and not isinstance(given, str):
        filled["lr_scheduler_kwargs"] = {"mode": _mode(greater)} | given
    return filled


def check_metric(config: TrainingExperiment) -> Iterator[Problem]:
    """Yield what is wrong with the metric that a run, completed by `with_metric`, judges by."""
    name = config.trainer.metric_for_best_model
    if name is None:
        return
    known, given = directions(config), f"metric_for_best_model={name}"
    bare = name.removeprefix(PREFIX)
    if bare not in known:
        expected = "no evaluation of this run returns it, so that the first one would end the run"
        yield Problem(given, expected, _close(bare, known, DIRECTIONS[config.output.experiment]))
        return
    better, greater = known[bare], config.trainer.greater_is_better
    if greater is None:
        expected = f"neither more nor less of {bare} makes a better teacher by itself"
        remedy = (
            f"set greater_is_better=true or false as well, or metric_for_best_model={DEFAULT[config.output.experiment]}"
        )
        yield Problem(given, expected, remedy)
    elif better is not None and greater != better:
        expected = f"{'more' if better else 'less'} of {bare} is better: the worst model would be taken for the best"
        yield Problem(f"greater_is_better={written(greater)}", expected, f"leave it out, or write {written(better)}")
    else:
        yield from _mode_of_schedule(config, greater)


def _mode_of_schedule(config: TrainingExperiment, greater: bool) -> Iterator[Problem]:
    schedule, given = config.trainer.lr_scheduler_type, config.trainer.lr_scheduler_kwargs
    if schedule not in FOLLOWS_METRIC or not isinstance(given, Mapping) or given.get("mode") == _mode(greater):
        return
    expected = (
        f"{config.trainer.metric_for_best_model} is better when {'higher' if greater else 'lower'}: the learning rate "
    )
    expected += "would follow its getting better as if it got worse"
    remedy = f"leave it out, or write mode={_mode(greater)}"
    yield Problem(f"lr_scheduler_kwargs.mode={written(given.get('mode'))}", expected, remedy)


def _mode(greater: bool) -> str:
    return "max" if greater else "min"


def _close(name: str, known: Mapping[str, Any], listed: Mapping[str, Any]) -> str:
    """Return the metrics that may have been meant: of the same last part, else spelt alike, else all those listed."""
    wanted = name.replace("eval/", "").replace("train/", "")
    alike = [metric for metric in known if metric.rpartition("/")[2] == wanted.rpartition("/")[2]]
    alike = alike or get_close_matches(wanted, known, n=3, cutoff=0.6)
    if alike:
        return f"did you mean {' or '.join(PREFIX + metric for metric in alike[:3])}?"
    return "choose one of " + ", ".join(f"{PREFIX}{metric}" for metric, better in listed.items() if better is not None)
