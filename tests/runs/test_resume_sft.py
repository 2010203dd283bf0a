"""SFT: n steps are k steps and a resume to n, across an epoch, with the order of rows and the learning rate."""

import pytest

from tests.support.grpo_runs import read_jsonl, weights
from trainers.configuration import compose
from trainers.configuration.resume.decision import settle

pytestmark = pytest.mark.slow
STEPS = 6


def train(workspace, output, *overrides):
    from trainers.sft import run

    arguments = [f"workspace={workspace}", f"output_dir={output}", f"max_steps={STEPS}", "warmup_steps=2"]
    arguments += ["logging_steps=1", "dataset_max_samples=40", "train_batch_size=16", "per_device_train_batch_size=8"]
    config, _ = settle(compose(["quickstart_sft", *arguments, *overrides]))
    assert config is not None
    run(config)
    return output


def test_a_resumed_run_is_the_uninterrupted_one(workspace, tmp_path):
    whole = train(workspace, tmp_path / "whole", "save_strategy=steps", "save_steps=1", "save_total_limit=10")
    expected = {row["step"]: row for row in read_jsonl(whole / "metrics.jsonl") if "loss" in row}
    for step in (2, 4):
        resumed = train(workspace, tmp_path / f"from-{step}", f"resume={whole}/checkpoint-{step}")
        found = {row["step"]: row for row in read_jsonl(resumed / "metrics.jsonl") if "loss" in row}
        assert list(found) == list(range(step + 1, STEPS + 1))
        for later, row in found.items():
            for name in ("loss", "grad_norm", "learning_rate"):
                assert row[name] == pytest.approx(expected[later][name], rel=1e-5), (later, name)
        after, trained = weights(resumed), weights(whole)
        assert max((after[name] - trained[name]).abs().max().item() for name in trained) < 1e-6
