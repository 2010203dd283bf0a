"""One small quickstart for a whole test session, through the real script."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> tuple[Path, str]:
    """Runs `scripts/quickstart.sh --smoke` once; returns its output directory and what it printed."""
    directory = tmp_path_factory.mktemp("quickstart")
    command = ["bash", "scripts/quickstart.sh", "--smoke", "--output", str(directory)]
    command += [f"vllm_port={free_port}", "report_to=[wandb]", "train_batch_size=32", "logging_steps=1"]
    # After so little warm-up hardly any lesson earns a reward; this one differs between lessons all the same.
    command += ["per_device_train_batch_size=16", "reward=tests.support.rewards.checksum"]
    environment = os.environ | {"WANDB_MODE": "offline", "WANDB_DIR": str(directory)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1100)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return directory, done.stdout + done.stderr
