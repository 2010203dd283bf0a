"""One small quickstart for a whole test session, through the real script."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.planted_secrets import PLANTED, command_lines

COMMAND_LINES = "command_lines.txt"
"""The command lines of all processes that the quickstart had, in its output directory."""


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory, free_port: int) -> tuple[Path, str]:
    """Runs `scripts/quickstart.sh --smoke` once, with secrets around; returns its directory and what it printed."""
    directory = tmp_path_factory.mktemp("quickstart")
    command = ["bash", "scripts/quickstart.sh", "--smoke", "--output", str(directory)]
    command += [f"vllm_port={free_port}", "report_to=[wandb]", "train_batch_size=32", "logging_steps=1"]
    command += ["log_completions=true"]
    # After so little warm-up hardly any lesson earns a reward; this one differs between lessons all the same.
    command += ["per_device_train_batch_size=16", "reward=tests.support.rewards.checksum"]
    # A token of the run that is there is the one that its servers ask for.
    environment = os.environ | PLANTED | {"WANDB_MODE": "offline", "WANDB_DIR": str(directory)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    with command_lines([process]) as seen:
        printed, _ = process.communicate(timeout=1100)
    assert process.returncode == 0, printed[-8000:]
    (directory / COMMAND_LINES).write_text("\n".join(sorted(seen)), encoding="utf-8")
    return directory, printed
