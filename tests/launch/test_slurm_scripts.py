"""The batch scripts: they pass signals on, and queue a job again that was warned and made room."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from trainers.launch.supervise.interruption import PREEMPTED
from trainers.paths import ROOT

SCRIPTS = {"launch.sbatch": "launch.sh", "launch_with_server.sbatch": "launch_with_server.sh"}
LAUNCH = (
    f"#!{sys.executable}\n"
    + """
import os, signal, sys, time
heard = []
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda number, _: heard.append(number))
print("begun", *sys.argv[1:], flush=True)
while not heard and os.environ["ENDS_WITH"] == "75":
    time.sleep(0.01)
print("heard", *[signal.Signals(number).name for number in heard], flush=True)
sys.exit(int(os.environ["ENDS_WITH"]))
"""
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose launchers are stand-ins, and a Slurm that writes down what it is asked for."""
    (tmp_path / "scripts/slurm").mkdir(parents=True)
    (tmp_path / "scripts/slurm/requeue.sh").write_text((ROOT / "scripts/slurm/requeue.sh").read_text())
    for name, text in {**dict.fromkeys(SCRIPTS.values(), LAUNCH)}.items():
        (tmp_path / "scripts" / name).write_text(text)
        (tmp_path / "scripts" / name).chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/scontrol").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    (tmp_path / "bin/scontrol").chmod(0o755)
    return tmp_path


def ended(
    script: str, checkout: Path, status: int, number: signal.Signals | None, **variables: str
) -> tuple[int, str, str]:
    """Return the status of a batch script, what it printed, and what it asked Slurm for."""
    environment = os.environ | {"ENDS_WITH": str(status), "SLURM_JOB_ID": "17"} | variables
    environment["PATH"] = f"{checkout}/bin:{environment['PATH']}"
    log = checkout / "log"
    with log.open("w") as file:
        command = ["bash", str(ROOT / "scripts/slurm" / script), "1", "2", "recipe", "run_name=a b"]
        job = subprocess.Popen(command, cwd=checkout, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        if number is not None:
            deadline = time.monotonic() + 30
            while "begun" not in log.read_text():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            job.send_signal(number)
        code = job.wait(60)
    finally:
        # A script that ends before its launch leaves it behind.
        with suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
    asked = checkout / "asked"
    return code, log.read_text(), asked.read_text() if asked.exists() else ""


@pytest.mark.fault("USR1 or TERM to the batch scripts", "the job is queued again after USR1 only")
@pytest.mark.parametrize("script", list(SCRIPTS))
def test_a_job_that_was_warned_is_queued_again(script: str, checkout: Path) -> None:
    status, printed, asked = ended(script, checkout, PREEMPTED, signal.SIGUSR1)
    assert status == PREEMPTED
    assert "begun 1 2 recipe run_name=a b\nheard SIGUSR1" in printed
    assert asked == "requeue 17\n"


def test_a_task_of_an_array_is_queued_again_alone(checkout: Path) -> None:
    # Slurm gives the last task the number of the array, by which it would queue all tasks again, finished ones too.
    array = {"SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "0"}
    assert ended("launch.sbatch", checkout, PREEMPTED, signal.SIGUSR1, **array)[2] == "requeue 17_0\n"


@pytest.mark.fault("USR1 to a batch script that waits for its launch", "ends with the launch's status, 75", sample=5)
def test_the_status_of_a_launch_is_never_that_of_the_signal(repeat: int, checkout: Path) -> None:
    assert ended("launch.sbatch", checkout, PREEMPTED, signal.SIGUSR1)[0] == PREEMPTED


@pytest.mark.fault("USR1 or TERM to the batch scripts", "the job is queued again after USR1 only")
def test_a_job_that_slurm_ends_is_left_to_slurm(checkout: Path) -> None:
    # It may have been cancelled, and would come back.
    status, printed, asked = ended("launch.sbatch", checkout, PREEMPTED, signal.SIGTERM)
    assert (status, asked) == (PREEMPTED, "")
    assert "heard SIGTERM" in printed


@pytest.mark.parametrize("status", [0, 2, 4])
def test_a_launch_that_ends_by_itself_is_not_queued_again(status: int, checkout: Path) -> None:
    assert ended("launch.sbatch", checkout, status, None)[0::2] == (status, "")


@pytest.mark.parametrize("script", list(SCRIPTS))
def test_slurm_is_asked_for_what_the_scripts_rely_on(script: str) -> None:
    text = (ROOT / "scripts/slurm" / script).read_text()
    options = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH")]
    assert {"--requeue", "--signal=B:USR1@300", "--open-mode=append", "--nodes=1"} <= set(options)
