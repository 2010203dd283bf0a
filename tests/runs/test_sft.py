"""SFT learns the teacher's reply under RL's own prompt, and what it logs can be read back."""

import json
import os
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoTokenizer

from tests.support.planted_secrets import PLANTED, files_with_secrets
from tests.support.wandb_offline import logged

pytestmark = pytest.mark.slow
STEPS = 3


@pytest.fixture(scope="module")
def finished(workspace, tmp_path_factory):
    """A real SFT run of a few steps that reports to W&B (offline) and TensorBoard."""
    records = tmp_path_factory.mktemp("records")
    environment = os.environ | PLANTED | {"WANDB_MODE": "offline", "WANDB_DIR": str(records)}
    arguments = [f"workspace={workspace}", f"output_dir={records}/sft", f"max_steps={STEPS}", "warmup_steps=1"]
    arguments += ["report_to=[wandb,tensorboard]", "logging_steps=1"]
    command = [sys.executable, "train.py", "run@_global_=quickstart_sft", *arguments]
    with (records / "screen.log").open("wb") as screen:
        subprocess.run(command, check=True, env=environment, timeout=300, stdout=screen, stderr=subprocess.STDOUT)
    return records


def test_metrics_are_written_step_by_step(finished):
    rows = [json.loads(line) for line in (finished / "sft/metrics.jsonl").read_text().splitlines()]
    losses = {row["step"]: row["loss"] for row in rows if "loss" in row}
    assert list(losses) == [1, 2, 3]
    assert losses[3] < losses[1]
    assert all(row["time"] > 1.6e9 for row in rows)


def test_the_wandb_client_logged_the_same_losses_and_our_keys(finished):
    rows = [json.loads(line) for line in (finished / "sft/metrics.jsonl").read_text().splitlines()]
    history, config = logged(finished)
    assert [row["train/loss"] for row in history if "train/loss" in row] == [
        row["loss"] for row in rows if "loss" in row
    ]
    assert config["atlas"]["teacher_template"].count("{question}") == 1


def test_tensorboard_logged_the_same_losses(finished):
    [events] = (finished / "sft/runs").glob("*")
    accumulator = EventAccumulator(str(events))
    accumulator.Reload()
    assert len(accumulator.Scalars("train/loss")) == STEPS


def test_no_secret_is_written(finished):
    assert files_with_secrets(finished) == {}


def test_the_final_model_lies_where_rl_finds_it(finished):
    assert (finished / "sft/model.safetensors").is_file()
    assert json.loads((finished / "sft/finished.json").read_text())["steps"] == STEPS
    assert AutoTokenizer.from_pretrained(finished / "sft").chat_template
