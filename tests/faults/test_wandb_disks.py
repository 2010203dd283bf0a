"""A full disk under W&B's own files, with the real W&B, offline: told once, and nothing else is lost."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from tests.support.reporting_training import STEPS
from tests.support.small_disk import fill, small_disk
from tests.support.wandb_offline import logged
from trainers.jsonl import whole_rows
from trainers.output.files import full_disk_told
from trainers.paths import ROOT
from trainers.training.wandb_files import refusal, silence

DISK_KB = 600
LONGEST_S = 180.0


def train(output: Path, disk: Path, step: int) -> str:
    """Train with W&B's files on a disk that is full before a step; return what was said."""
    command = [sys.executable, "-m", "tests.support.reporting_training", str(output), str(disk), str(step)]
    environment = os.environ | {"WANDB_DIR": str(disk), "WANDB_MODE": "offline", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, env=environment, cwd=output.parent, capture_output=True, text=True, timeout=LONGEST_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.slow
@pytest.mark.fault(
    "the disk under W&B's own files full from the start, or from any step on (real W&B, offline; lessons stand in)",
    "told once, with path and remedy; the training ends, and metrics.jsonl and tables of completions are whole",
    sample=1,
)
@pytest.mark.parametrize("later", [False, True])
def test_a_full_disk_under_the_files_of_wandb_is_told_and_costs_nothing_else(
    later: bool, chance: random.Random, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    with small_disk(tmp_path, DISK_KB) as disk:
        said = train(output, disk, chance.randrange(1, STEPS) if later else 0)
        assert f"{disk}/wandb" in said
    assert said.count("free some space there, or name another directory by WANDB_DIR") == 1
    assert ("W&B is left out" in said) != later
    assert "Traceback" not in said
    assert "Logging error" not in said
    rows = [row["step"] for row in whole_rows(output / "metrics.jsonl") if "grad_norm" in row]
    assert rows == list(range(1, STEPS + 1))
    tables = sorted((output / "completions").glob("*.parquet"))
    assert [set(pandas.read_parquet(table)["step"]) for table in tables] == [{step} for step in rows]


@pytest.mark.slow
def test_wandb_is_told_everything_where_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path, 10 * DISK_KB) as disk:
        said = train(tmp_path / "run", disk, STEPS)
        assert "WANDB_DIR" not in said
        history, _ = logged(disk)
    assert {row["train/global_step"] for row in history if "train/loss" in row} == set(range(1, STEPS + 1))


def test_a_disk_refuses_what_does_not_fit_and_nothing_else(tmp_path: Path) -> None:
    assert refusal(tmp_path / "not" / "there") is None
    with small_disk(tmp_path, 100) as disk:
        assert refusal(disk / "wandb") is None
        fill(disk)
        error = refusal(disk / "wandb")
        assert error is not None
        with full_disk_told(disk / "file"):
            raise error
        with pytest.raises(FileNotFoundError), full_disk_told(disk / "file"):
            raise FileNotFoundError


def test_the_log_of_wandb_on_a_full_disk_is_silenced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wandb = logging.getLogger("wandb")
    with small_disk(tmp_path, 100) as disk:
        handler = logging.FileHandler(disk / "debug.log")
        wandb.addHandler(handler)
        try:
            fill(disk)
            silence(disk)
            wandb.error("nobody hears this")
            handler.close()
        finally:
            wandb.removeHandler(handler)
    assert "Logging error" not in capsys.readouterr().err
