"""Evaluating while a teacher is trained leaves no trace in what it learns."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.lessons import group, lesson
from trainers.evaluation.periodic import save_periodic_summary

STEPS = 3
TIMINGS = re.compile(r"^time|_s$|_time$|per_s$|runtime|per_second|servers_idle|^step$")


def test_the_summary_has_the_rows_of_an_evaluation(tmp_path):
    groups = [group(lesson([False], True)), group(lesson([True], True, row=1))]
    summary = json.loads(save_periodic_summary(str(tmp_path), 10, groups).read_text())
    alone, taught = summary["arms"]
    assert (summary["step"], alone["accuracy"]["mean"], taught["accuracy_gain"]["mean"]) == (10, 0.5, 0.5)
    assert taught["generation_time"] == {"mean": None, "low": None, "high": None, "n": 0}


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
