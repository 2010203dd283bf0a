"""Judging a run by what its evaluations return: the best model is kept and loaded, learning rates follow a metric."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.lessons import group, lesson
from trainers.configuration import ConfigurationError, compose
from trainers.configuration.computed_keys import derive
from trainers.configuration.devices.machine import assume
from trainers.configuration.resume.decision import decide, settle
from trainers.configuration.resume.differences import difference
from trainers.configuration.schedule.evaluation_metrics import DIRECTIONS
from trainers.configuration.schedule.rules import GREEDY_MIN_LR, SCHEDULE_TAKES
from trainers.configuration.settings.experiments import GRPO, SFT
from trainers.evaluation.periodic import periodic_metrics
from trainers.generation.types import Turn
from trainers.teaching.lesson import BlindCheck, Grade, Lesson, Midway, Prepared, Solution

JUDGED = (
    *("eval_strategy=steps", "eval_steps=1", "eval_max_samples=4", "num_generations_eval=4"),
    *("save_total_limit=9", "max_steps=4", "reward=tests.support.rewards.best_of_version_3"),
)
PLATEAU = ("lr_scheduler_type=reduce_lr_on_plateau", "lr_scheduler_kwargs={patience: 0, factor: 0.5}")


def everything() -> list:
    """Groups of which every metric can be said."""
    right, wrong = lesson([True], True), lesson([False], True, row=1)
    right = replace(right, taught=acted(right.taught), prepared=with_baselines(right, acted))
    wrong = replace(wrong, prepared=with_baselines(wrong, with_grade))
    audited = replace(right, blind=BlindCheck(right=1, asked=4, guessed=0, guesses=16, leaked=False))
    graded = replace(wrong, member=1, taught=replace(wrong.taught, grade=Grade(0.2)))
    return [group(audited, replace(right, member=1)), group(wrong, graded)]


def with_grade(solution: Solution) -> Solution:
    """Return a solution that a judge has graded."""
    return replace(solution, grade=Grade(0.1))


def with_baselines(of: Lesson, changed: Callable[[Solution], Solution]) -> Prepared:
    """Return what comes before a lesson, its baselines changed."""
    return replace(of.prepared, baselines=tuple(map(changed, of.prepared.baselines)))


def acted(solution: Solution) -> Solution:
    """Return a solution that took a tool, and was told something in the middle."""
    midway = Midway("", "add", 1, False, False, False, "2+2?", 5, truncated=False)
    turns = (Turn("assistant", "2+2?", 3), Turn("tool", "4"), Turn("user", "add"), Turn("assistant", "4", 1))
    return replace(solution, turns=turns, midway=midway)


def test_the_names_that_compose_are_those_that_evaluations_return():
    assert periodic_metrics(everything()).keys() == DIRECTIONS[GRPO].keys()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("teacher_rcl load_best_model_at_end=true", ("eval_reward", True, None)),
        ("teacher_rcl save_strategy=best", ("eval_reward", True, None)),
        ("teacher_rcl lr_scheduler_type=reduce_lr_on_plateau", ("eval_reward", True, {"mode": "max"})),
        (
            "teacher_rcl lr_scheduler_type=reduce_lr_on_plateau metric_for_best_model=teaching/leak_rate",
            ("teaching/leak_rate", False, {"mode": "min"}),
        ),
        ("teacher_rcl metric_for_best_model=eval_teaching/fix_rate", ("eval_teaching/fix_rate", True, None)),
        ("teacher_rcl", (None, None, None)),
        ("teacher_sft eval_strategy=epoch load_best_model_at_end=true", ("eval_loss", False, None)),
    ],
)
def test_what_is_left_out_follows_from_the_metric(command, expected):
    config = compose(command.split(), assume(8), 4, 4).config
    chosen = config.trainer
    assert (chosen.metric_for_best_model, chosen.greater_is_better, chosen.lr_scheduler_kwargs) == expected
    # A rank reads what the launcher resolved, and completes it again.
    assert derive(config, assume(8), 4)[0] == config


def test_the_settings_of_schedules_are_those_of_transformers():
    from torch.optim.lr_scheduler import ReduceLROnPlateau
    from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION, GreedyLR

    functions = {kind.value: made for kind, made in TYPE_TO_SCHEDULER_FUNCTION.items()}
    functions |= {"reduce_lr_on_plateau": ReduceLROnPlateau, "greedy": GreedyLR}
    counted = {"optimizer", "num_warmup_steps", "num_training_steps", "last_epoch"}
    for name, taken in SCHEDULE_TAKES.items():
        assert set(inspect.signature(functions[name]).parameters) - counted == set(taken), name
    assert inspect.signature(GreedyLR).parameters["min_lr"].default == GREEDY_MIN_LR


def test_a_best_model_that_is_gone_is_not_found_out_at_the_end(tmp_path):
    checkpoint = tmp_path / "run" / "checkpoint-4"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text(
        json.dumps({"global_step": 4, "best_model_checkpoint": str(checkpoint)}), encoding="utf-8"
    )
    command = ["teacher_rcl", "load_best_model_at_end=true", f"resume={checkpoint}", f"output_dir={tmp_path}/new"]
    config = compose(command, assume(8), 4, 4).config
    assert decide(config).checkpoint == str(checkpoint)
    renamed = checkpoint.parent.rename(tmp_path / "renamed") / "checkpoint-4"
    with pytest.raises(ConfigurationError, match="which is gone"):
        decide(config.with_keys(resume=str(renamed)))
    assert decide(config.with_keys(resume=str(renamed), load_best_model_at_end=False)).action == "continue"


def test_a_run_whose_rate_follows_its_evaluations_keeps_them_when_it_is_continued():
    old = compose(["teacher_rcl", "lr_scheduler_type=reduce_lr_on_plateau"], assume(8), 4, 4).config
    assert difference(old.flat(), old.with_keys(eval_max_samples=8)).keys() == {"eval_max_samples"}
    constant = old.with_keys(lr_scheduler_type="constant")
    assert difference(constant.flat(), constant.with_keys(eval_max_samples=8)) == {}


def rows_of(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def evaluated(output: Path, name: str) -> dict[int, float]:
    """A metric of each evaluation; of a step evaluated twice, the later."""
    return {row["step"]: row[name] for row in rows_of(output) if name in row}


def rates(output: Path) -> dict[int, float]:
    return {row["step"]: row["learning_rate"] for row in rows_of(output) if "learning_rate" in row}


def expected_rates(metric: Mapping[int, float], first: float, mode: str) -> dict[int, float]:
    """Return the learning rates of torch's own schedule for a run's evaluations, by the step that uses them."""
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=first)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode=mode, patience=0, factor=0.5)
    found = {1: first}
    for step, value in metric.items():
        schedule.step(value)
        found[step + 1] = optimizer.param_groups[0]["lr"]
    return {step: rate for step, rate in found.items() if step in metric}


def assert_loaded(output: Path, step: int) -> None:
    """The final model is the checkpoint of a step."""
    from tests.support.grpo_runs import weights

    final, kept = weights(output), weights(output / f"checkpoint-{step}")
    assert all((final[name] == kept[name]).all() for name in kept)


@pytest.mark.slow
@pytest.mark.servers
def test_the_best_model_of_a_grpo_run_is_loaded_and_its_rate_follows_the_evaluations(servers, tmp_path):
    from tests.support.grpo_runs import train, weights

    judged = (*JUDGED, *PLATEAU, "save_strategy=steps", "save_steps=1", "load_best_model_at_end=true")
    whole = train(servers, tmp_path, *judged)
    rewards = evaluated(whole, "eval_reward")
    assert list(rewards) == [1, 2, 3, 4]
    assert rates(whole) == pytest.approx(expected_rates(rewards, 1e-3, "max"))
    assert len(set(rates(whole).values())) == 2
    assert_loaded(whole, 2)

    # Continued from within, it knows the best model of before, and how long the metric has not risen.
    again = train(servers, tmp_path, *judged, f"resume={whole}/checkpoint-2", f"output_dir={tmp_path}/again")
    assert evaluated(again, "eval_reward") == pytest.approx({step: rewards[step] for step in (3, 4)})
    assert rates(again) == pytest.approx({step: rates(whole)[step] for step in (3, 4)})
    final, best = weights(again), weights(whole / "checkpoint-2")
    assert all((final[name] == best[name]).all() for name in best)


@pytest.mark.slow
@pytest.mark.servers
def test_a_grpo_run_ends_when_it_no_longer_gets_better_also_after_an_interruption(servers, tmp_path):
    from tests.support.grpo_runs import arguments, metrics, train

    patient = (*JUDGED, "max_steps=8", "early_stopping_patience=2", "load_best_model_at_end=true")
    patient += ("save_strategy=steps", "save_steps=1")
    whole = train(servers, tmp_path, *patient)
    # The second model is the best; the third and the fourth are worse.
    assert list(metrics(whole)) == [1, 2, 3, 4]
    assert_loaded(whole, 2)
    assert settle(compose(arguments(servers, tmp_path, *patient)))[0] is None

    again = train(servers, tmp_path, *patient, f"resume={whole}/checkpoint-3", f"output_dir={tmp_path}/again")
    assert list(metrics(again)) == [4]


@pytest.mark.slow
@pytest.mark.servers
def test_only_better_models_are_saved(servers, tmp_path):
    from tests.support.grpo_runs import train

    output = train(servers, tmp_path, *JUDGED, "save_strategy=best", "metric_for_best_model=eval_reward")
    assert sorted(path.name for path in output.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]


@pytest.mark.slow
@pytest.mark.servers
def test_the_best_model_is_loaded_under_zero3(servers, tmp_path):
    from tests.support.grpo_runs import completed, launch, restore

    command = launch(2, servers, tmp_path, *JUDGED, *PLATEAU, "save_strategy=best", "load_best_model_at_end=true")
    completed([*command, "zero3"])
    restore(servers)
    output = tmp_path / "run"
    rewards = evaluated(output, "eval_reward")
    assert rates(output) == pytest.approx(expected_rates(rewards, 1e-3, "max"))
    assert_loaded(output, 2)


@pytest.mark.slow
def test_the_best_model_of_an_sft_run_is_loaded(workspace, tmp_path):
    from trainers.sft import run

    arguments = [f"workspace={workspace}", f"output_dir={tmp_path}/sft", "max_steps=3", "dataset_max_samples=60"]
    arguments += ["eval_split_ratio=0.1", "logging_steps=1"]
    arguments += ["eval_strategy=steps", "eval_steps=1", "save_strategy=steps", "save_steps=1", "learning_rate=0.1"]
    arguments += ["load_best_model_at_end=true", "save_total_limit=9", *PLATEAU, "warmup_steps=0"]
    config, _ = settle(compose(["quickstart_sft", *arguments]))
    assert config is not None
    run(config)
    output = Path(config.output.output_dir)
    losses = evaluated(output, "eval_loss")
    assert rates(output) == pytest.approx(expected_rates(losses, 0.1, "min"))
    known = {row.removeprefix("eval_") for rows in rows_of(output) for row in rows if row.startswith("eval_")}
    assert known - {"runtime", "samples_per_second", "steps_per_second", "num_tokens"} == DIRECTIONS[SFT].keys()
    assert_loaded(output, min(losses, key=lambda step: losses[step]))
