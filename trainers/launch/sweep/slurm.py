"""A sweep as an array of Slurm: a job for each run, from a batch script that is kept beside the runs."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from trainers.configuration import ConfigurationError, Problem

SCRIPT = "sweep.sbatch"
LAUNCHER = "scripts/sweep.sh"
REQUEUE = "scripts/slurm/requeue.sh"
CONTINUED = ("--requeue", "--signal=B:USR1@300", "--open-mode=append")
"""Options of sbatch with which a job is warned of its end, and goes on after it."""


def batch_script(root: Path, command: Sequence[str], output: Path, options: str) -> str:
    """Return the script of a task, which does the sweep's own command with the number of the task.

    A task that runs out of time, or is preempted, saves and queues itself again, as the scripts in scripts/slurm do.

    Args:
        root: the checkout, where every task starts.
        command: the arguments of the sweep, without those that ask for an array.
        output: directory of the sweep, for the logs of the tasks.
        options: of sbatch, as they are typed.
    """
    log = output.absolute() / "task-%a.log"
    asked = [f"#SBATCH {option}" for option in shlex.split(options)]
    task = shlex.join([LAUNCHER, *command])
    return "\n".join(
        [
            "#!/usr/bin/env bash",
            f"#SBATCH --job-name={output.name}",
            f"#SBATCH --output={log}",
            *(f"#SBATCH {option}" for option in CONTINUED),
            *asked,
            f"cd {shlex.quote(str(root))} || exit 1",
            f"source {REQUEUE} || exit 1",
            f'launch_and_requeue {task} --only "$SLURM_ARRAY_TASK_ID"',
            "",
        ]
    )


def submit(script: Path, tasks: int) -> str:
    """Submit a script as an array of so many tasks and return Slurm's answer.

    Raises:
        ConfigurationError: when Slurm does not take it.
    """
    command = ["sbatch", f"--array=0-{tasks - 1}", str(script)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        remedy = f"mend the options of --slurm, or the script, and submit it: {shlex.join(command)}"
        raise ConfigurationError([Problem("--slurm", f"sbatch refused it: {run.stderr.strip()}", remedy)])
    return run.stdout.strip()


def check_installed() -> None:
    """Raise a `ConfigurationError` where there is no Slurm."""
    if shutil.which("sbatch") is None:
        remedy = "run this on a machine from which jobs are submitted, or leave --slurm out"
        raise ConfigurationError([Problem("--slurm", "there is no sbatch on the PATH", remedy)])
