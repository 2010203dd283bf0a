"""Evaluating while a teacher is trained leaves no trace in what it learns."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.evaluations import evaluated
from tests.support.lessons import group, lesson
from trainers.evaluation.periodic import periodic_metrics, save_periodic_summary, with_chosen_metric

STEPS = 3
TIMINGS = re.compile(r"^time|_s$|_time$|per_s$|runtime|per_second|servers_idle|^step$")


def test_the_summary_has_the_rows_of_an_evaluation(tmp_path):
    groups = [group(lesson([False], True)), group(lesson([True], True, row=1))]
    saved = save_periodic_summary(str(tmp_path / "run"), 10, groups)
    assert saved == tmp_path / "run" / "evaluations" / "step_000010.json"
    summary = json.loads(saved.read_text())
    assert saved.read_text() == json.dumps(summary, indent=2) + "\n"
    alone, taught = summary["arms"]
    assert (summary["step"], alone["accuracy"]["mean"], taught["accuracy_gain"]["mean"]) == (10, 0.5, 0.5)
    assert taught["generation_time"] == {"mean": None, "low": None, "high": None, "n": 0}


def test_a_summary_parts_its_gains_by_the_column_that_is_named(tmp_path):
    _, taught = evaluated(([False], [True]), ([True], [True]), extra={0: {"topic": "sums"}, 1: {"topic": "sets"}})
    groups = [item.group for item in taught]
    with_levels, without = (
        json.loads(save_periodic_summary(str(tmp_path), step, groups, column).read_text())["arms"][1]["gains"]
        for step, column in enumerate(("topic", None))
    )
    assert {level: gain["mean"] for level, gain in with_levels["level"].items()} == {"sets": 0.0, "sums": 1.0}
    assert "level" not in without


def test_a_summary_that_cannot_be_written_is_named_and_ends_no_training(tmp_path, caplog):
    (tmp_path / "evaluations").write_text("in the way")
    path = save_periodic_summary(str(tmp_path), 3, [group(lesson([False], True))])
    [message] = caplog.messages
    assert str(path) in message


def test_the_metrics_are_those_of_all_and_of_each_student_of_a_pool():
    groups = []
    for student, made in (("ann", lesson([False], True)), ("bob", lesson([True], False, row=1, reward=-0.5))):
        own = replace(made, prepared=replace(made.prepared, student=student))
        groups.append(group(own, replace(own, member=1, reward=None, taught=None, failure="taught_timeout")))
    found = periodic_metrics(groups, ("ann", "bob"))
    assert (found["reward"], found["teaching/accuracy_gain"]) == (0.25, 0.0)
    gains = {name: found[f"teaching/by_student/{name}/accuracy_gain"] for name in ("ann", "bob")}
    assert gains == {"ann": 1.0, "bob": -1.0}
    alone = periodic_metrics(groups)
    assert alone == {name: value for name, value in found.items() if "by_student" not in name}
    assert "reward" not in periodic_metrics([group(lesson([None], None, reward=None))])


def test_an_evaluation_that_says_nothing_of_the_metric_is_no_better():
    assert periodic_metrics([group(lesson([None], None, reward=None))]).keys().isdisjoint({"reward"})
    for chosen in ("teaching/fix_rate", "eval_teaching/fix_rate"):
        judged = with_chosen_metric({"eval_reward": 1.0}, chosen)
        assert math.isnan(judged["eval_teaching/fix_rate"])
        assert not np.greater(judged["eval_teaching/fix_rate"], -np.inf)
    assert with_chosen_metric({"eval_reward": 1.0}, "reward") == {"eval_reward": 1.0}
    assert with_chosen_metric({"eval_reward": 1.0}, None) == {"eval_reward": 1.0}


def trained(metrics: Path) -> list[dict[str, float]]:
    """The rows of training, without what depends on the clock."""
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    return [{k: v for k, v in row.items() if not TIMINGS.search(k)} for row in rows if "reward" in row]


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.parametrize("overlap", [0, 1])
def test_training_is_the_same_with_and_without_evaluation(servers, tmp_path, overlap):
    # Importing TRL takes seconds, which collecting tests need not spend.
    import torch
    from transformers import AutoModelForCausalLM

    from tests.support.grpo_runs import train

    common = (f"max_steps={STEPS}", f"rollout_overlap={overlap}", "beta=0.04")
    without = train(servers, tmp_path / "without", *common, "eval_strategy=no")
    evaluating = ("eval_strategy=steps", "eval_steps=1", "num_generations_eval=2", "eval_max_samples=4")
    evaluated = train(servers, tmp_path / "with", *common, *evaluating)
    assert len(list((evaluated / "evaluations").glob("step_*.json"))) == STEPS
    assert not (without / "evaluations").exists()
    assert len(trained(without / "metrics.jsonl")) == STEPS
    assert trained(evaluated / "metrics.jsonl") == trained(without / "metrics.jsonl")
    ours, theirs = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (evaluated, without))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
