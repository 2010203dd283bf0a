"""A training that was cut off goes on with its run on W&B, and another one does not."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.data_configs import run_config, write_rows
from tests.support.wandb_offline import run_ids
from trainers.launch.supervise.ranks import WANDB_RUN, name_run, wandb_run_id

VARIABLES = ("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_PROJECT", "WANDB_RUN_GROUP", "RANK")


@pytest.fixture
def config(tmp_path, monkeypatch):
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")  # restores what was there, also what the program sets
        monkeypatch.delenv(variable)
    return run_config("sft", output_dir=str(tmp_path / "run"), report_to=["wandb"])


def test_a_continued_training_has_the_id_that_it_began_with(config, tmp_path):
    first = wandb_run_id(config)
    assert (tmp_path / "run" / WANDB_RUN).read_text().strip() == first
    assert wandb_run_id(config.with_keys(resume_from="checkpoint-2")) == first
    assert wandb_run_id(config) != first


@pytest.mark.parametrize("report_to", ["wandb", ["tensorboard", "wandb"], "all", ["all"]])
def test_wandb_is_told_the_id(config, report_to, tmp_path):
    name_run(config.with_keys(report_to=report_to))
    assert os.environ["WANDB_RUN_ID"] == (tmp_path / "run" / WANDB_RUN).read_text().strip()
    assert os.environ["WANDB_RESUME"] == "allow"


@pytest.mark.parametrize("report_to", ["none", ["tensorboard"], None])
def test_others_are_told_none(config, report_to, tmp_path):
    name_run(config.with_keys(report_to=report_to))
    assert "WANDB_RUN_ID" not in os.environ
    assert not (tmp_path / "run").exists()


def test_only_the_first_rank_names_the_run(config, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    name_run(config)
    assert "WANDB_RUN_ID" not in os.environ
    assert not (tmp_path / "run").exists()


def test_an_id_of_choice_wins_and_is_what_a_continued_training_goes_on_with(config, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "chosen")
    name_run(config)
    assert os.environ["WANDB_RUN_ID"] == "chosen"
    assert (tmp_path / "run" / WANDB_RUN).read_text().strip() == "chosen"
    continued = config.with_keys(resume_from="checkpoint-2")
    monkeypatch.delenv("WANDB_RUN_ID")
    name_run(continued)
    assert os.environ["WANDB_RUN_ID"] == "chosen"
    monkeypatch.setenv("WANDB_RUN_ID", "other")
    name_run(continued)
    assert (tmp_path / "run" / WANDB_RUN).read_text().strip() == "other"


def hears_interrupts():
    """Undo what a shell does to commands in its background, which pytest may be one of: they ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def training(tmp_path, tiny_teacher_dir):
    """Starts a tiny SFT run whose W&B client has no network, the same one for the same arguments."""
    row = {"student_approach": "a", "teacher_diagnosis": "d", "teacher_teaching": "Add."}
    rows = write_rows(tmp_path / "rows.jsonl", [{**row, "question": f"{n} + 1?"} for n in range(64)])
    settings = {"model_name_or_path": tiny_teacher_dir, "dataset_id_or_path": rows, "output_dir": tmp_path / "run"}
    settings |= {"save_steps": 20, "save_strategy": "steps", "logging_steps": 1}
    settings |= {"train_batch_size": 4, "per_device_train_batch_size": 4, "max_length": "null"}
    command = [sys.executable, "train.py", "run@_global_=quickstart_sft", *(f"{k}={v}" for k, v in settings.items())]
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment |= {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "HF_DATASETS_CACHE": str(tmp_path / "cache")}

    started = []

    def start(*arguments):
        started.append(subprocess.Popen([*command, *arguments], env=environment, preexec_fn=hears_interrupts))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def steps_logged(path):
    return [row["step"] for row in map(json.loads, path.read_text().splitlines()) if "loss" in row]


@pytest.mark.slow
def test_a_run_that_was_stopped_and_the_one_that_continues_it_are_one_on_wandb(training, tmp_path):
    arguments, output = ("report_to=all", "max_steps=400"), tmp_path / "run"
    stopped = training(*arguments)
    deadline = time.monotonic() + 120
    while not (output / "checkpoint-20/trainer_state.json").is_file() and time.monotonic() < deadline:
        assert stopped.poll() is None
        time.sleep(0.05)
    stopped.send_signal(signal.SIGINT)
    assert stopped.wait(60) != 0
    before = steps_logged(output / "metrics.jsonl")
    assert len(before) < 400

    continued = training(*arguments)
    assert continued.wait(300) == 0
    after = steps_logged(output / "metrics.jsonl")[len(before) :]
    assert after[0] > 20
    assert after[-1] == 400
    first, second = run_ids(tmp_path)
    assert first == second == (output / WANDB_RUN).read_text().strip()

    afresh = training("report_to=wandb", "max_steps=1", "resume=never")
    assert afresh.wait(120) == 0
    *_, third = run_ids(tmp_path)
    assert third != first
    assert len(run_ids(tmp_path)) == 3
