"""Runs on a real Slurm that a job of higher priority preempts, or that are warned, and that end as undisturbed ones.

`ATLAS_PREEMPTIONS=5 python -m pytest -v tests/runs/test_slurm.py` does so five times in each of eight ways.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.free_ports import consecutive_free_ports
from tests.support.grpo_runs import arguments, metrics, weights
from tests.support.slurm_cluster import Cluster, slurm_cluster, why_not
from tests.support.slurm_jobs import DONE, Job
from trainers.paths import ROOT

pytestmark = pytest.mark.slow
REPEATS = int(os.environ.get("ATLAS_PREEMPTIONS", "0"))
STEPS = {"sft": 24, "grpo": 6}
SAME = ("loss", "reward", "grad_norm")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of one node."""
    if missing := why_not():
        pytest.skip(missing)
    # The path of munge's socket may not be long.
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="module")
def sft(cluster: Cluster, workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Job]:
    """An SFT run that nothing disturbs, and how to begin another."""
    words = ["1", "quickstart_sft", f"workspace={workspace}", f"max_steps={STEPS['sft']}", "logging_steps=1"]
    words += ["save_strategy=steps", "save_steps=1", "save_total_limit=2", "--no-preflight"]
    return _undisturbed(cluster, "launch.sbatch", words, tmp_path_factory.mktemp("sft"))


@pytest.fixture(scope="module")
def grpo(
    cluster: Cluster, tiny_teacher_dir: Path, tiny_student_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Job]:
    """A GRPO run with its own servers that nothing disturbs, and how to begin another."""
    directory, port = tmp_path_factory.mktemp("grpo"), consecutive_free_ports(2)
    models = SimpleNamespace(
        teacher=SimpleNamespace(model=str(tiny_teacher_dir), port=port),
        student=SimpleNamespace(model=str(tiny_student_dir)),
    )
    words = ["1", "1", *arguments(models, directory), f"max_steps={STEPS['grpo']}", "rollout_overlap=0"]
    words += ["save_strategy=steps", "save_steps=1", "save_total_limit=2", "--no-preflight"]
    words = [word for word in words if not word.startswith("output_dir=")]
    return _undisturbed(cluster, "launch_with_server.sbatch", words, directory)


def _undisturbed(cluster: Cluster, script: str, words: list[str], directory: Path) -> tuple[Any, Job]:
    def begin(name: str) -> Job:
        return Job(cluster, script, words, directory / name)

    whole = begin("whole")
    assert whole.finished()["Restarts"] == "0"
    return begin, whole


def same(whole: Job, other: Job) -> None:
    """Compare two runs: every step, and the weights."""
    expected, found = metrics(whole.output), metrics(other.output)
    assert list(found) == list(expected)
    for step, row in expected.items():
        for name in SAME:
            assert found[step].get(name) == pytest.approx(row.get(name), abs=1e-6), (step, name)
    before, after = weights(whole.output), weights(other.output)
    assert max((after[name] - before[name]).abs().max().item() for name in before) <= 1e-6


def preempt(cluster: Cluster, job: Job) -> None:
    cluster.preempt()


def warn(cluster: Cluster, job: Job) -> None:
    cluster.run("scancel", "--batch", "--signal=USR1", str(job.number))


WAYS = [(kind, moment, how) for kind in STEPS for moment in ("step", "save") for how in (preempt, warn)]
IN_SHORT = [("sft", "save", warn)]


@pytest.mark.parametrize("turn", range(REPEATS or 1))
@pytest.mark.parametrize(("kind", "moment", "how"), WAYS if REPEATS else IN_SHORT)
def test_a_job_that_made_room_ends_as_the_undisturbed_one(
    kind: str,
    moment: str,
    how: Callable[[Cluster, Job], None],
    turn: int,
    cluster: Cluster,
    request: pytest.FixtureRequest,
) -> None:
    chance = random.Random(f"{kind} {moment} {how.__name__} {turn}")
    begin, whole = request.getfixturevalue(kind)
    job = begin(f"{how.__name__}-{moment}-{turn}")
    job.wait_for_step(chance.randint(1, STEPS[kind] - 3))
    if moment == "save":
        job.wait_for_save()
    else:
        # Somewhere in a step: sampling, sending weights, or training.
        time.sleep(chance.uniform(0, 1) * max(row.get("step_time", 0.2) for row in metrics(job.output).values()))
    how(cluster, job)
    assert job.finished()["Restarts"] == "1"
    same(whole, job)
    said = job.log.read_text()
    assert "made room (status 75)" in said
    assert ("waits for its next turn" in said) == (how is warn)


def submitted(cluster: Cluster, *arguments: str) -> int:
    """Submit a sweep as an array and return its number."""
    command = [str(ROOT / "scripts/sweep.sh"), *arguments]
    done = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(re.findall(r"Submitted batch job (\d+)", done.stderr)[0])


def test_a_sweep_is_an_array_whose_tasks_fail_and_make_room_each_by_itself(
    cluster: Cluster, workspace: Path, tmp_path: Path
) -> None:
    values = ["0", "1", f"{ROOT}/configs/run/quickstart_sft.yaml", f"workspace={workspace}", "logging_steps=1"]
    # The first is known as missing to the trainer only. The last one has the number of the array.
    values += [
        "dataset_max_samples=512",
        "optim=grokadamw,adamw_torch",
        "max_steps=16",
        "warmup_steps=1",
        "save_strategy=steps",
        "save_steps=1",
    ]
    slurm = "--slurm=--cpus-per-task=1 --mem=100"
    array = submitted(cluster, *values, "save_total_limit=2", "--no-preflight", f"--output={tmp_path}", slurm)
    run = tmp_path / "optim-adamw_torch"
    deadline = time.monotonic() + 300
    while not (run / "metrics.jsonl").exists() or len(metrics(run)) < 2:
        assert time.monotonic() < deadline, (tmp_path / "task-1.log").read_text()
        time.sleep(0.05)
    failed = cluster.wait_for(f"{array}_0", lambda facts: facts["JobState"] in DONE, 300)
    cluster.run("scancel", "--batch", "--signal=USR1", f"{array}_1")
    finished = cluster.wait_for(f"{array}_1", lambda facts: facts["JobState"] in DONE, 300)
    assert (failed["JobState"], failed["ExitCode"], failed["Restarts"]) == ("FAILED", "1:0", "0")
    assert (finished["JobState"], finished["Restarts"]) == ("COMPLETED", "1"), (tmp_path / "task-1.log").read_text()
    losses = [row["loss"] for row in metrics(run).values()]
    assert len(losses) == 16
    assert (tmp_path / "sweep.md").read_text().splitlines() == [
        "| optim | loss | state |",
        "| --- | --- | --- |",
        "| grokadamw | n/a | failed |",
        f"| adamw_torch | {sum(losses[-10:]) / 10:.3g} | finished |",
        "",
        "- optim=grokadamw failed: status 1: ValueError: Please install grokadamw with `pip install grokadamw` "
        f"(log: {tmp_path}/optim-grokadamw/trainer.log)",
    ]
    assert (tmp_path / "sweep.png").stat().st_size > 1000
