"""Runs on a real Slurm that a job of higher priority preempts, or that are warned, and that end as undisturbed ones.

A run is held where it is to be disturbed, by SIGSTOP, until Slurm's signal arrives: Slurm takes seconds to preempt.
`python -m tests.faults --slurm` does so in each phase; in an ordinary run of the tests one SFT run is warned.
"""

from __future__ import annotations

import random
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import phase_record
from tests.support.fault_runs import Notice
from tests.support.free_ports import consecutive_free_ports
from tests.support.grpo_runs import arguments, metrics, weights
from tests.support.phase_record import ROLLOUT, SAVE, STEP, WEIGHTS
from tests.support.slurm_cluster import KILL_WAIT_S, Cluster, slurm_cluster, why_not
from tests.support.slurm_jobs import DONE, TIMEOUT_S, Job
from trainers.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.timeout(2 * TIMEOUT_S)]
STEPS = {"SFT": 24, "GRPO": 6}
PHASES = {"GRPO": (STEP, ROLLOUT, SAVE, WEIGHTS), "SFT": (STEP, SAVE)}
SAME = ("loss", "reward", "grad_norm")
PREEMPTED, WARNED = "preempted by a job of higher priority", "warned by USR1"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Disturb every kind of run in every phase and way where that is asked for, else one."""
    if "how" in metafunc.fixturenames:
        ways = [
            (kind, phase, how) for kind, phases in PHASES.items() for phase in phases for how in (PREEMPTED, WARNED)
        ]
        asked = metafunc.config.getoption("--real-repeats") is not None
        metafunc.parametrize(("kind", "phase", "how"), ways if asked else [("SFT", SAVE, WARNED)])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of one node."""
    if missing := why_not():
        pytest.skip(missing)
    # The path of munge's socket may not be long.
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_left(cluster: Cluster) -> Iterator[None]:
    """End the job of a test that failed: the next one has its ports."""
    yield
    cluster.cancel()


@pytest.fixture(scope="module")
def sft(cluster: Cluster, workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Job]:
    """An SFT run that nothing disturbs, and how to begin another."""
    words = ["1", "quickstart_sft", f"workspace={workspace}", f"max_steps={STEPS['SFT']}", "logging_steps=1"]
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
    words = ["1", "1", *arguments(models, directory), f"max_steps={STEPS['GRPO']}", "rollout_overlap=0"]
    words += ["save_strategy=steps", "save_steps=1", "save_total_limit=2", "--no-preflight"]
    words += ["trainer_class=tests.support.phase_trainer.PhaseTrainer"]
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


def warn(job: Job) -> None:
    """Send a held run what the end of a job's time sends; the trainer itself gets no signal."""
    job.cluster.run("scancel", "--batch", "--signal=USR1", str(job.number))
    job.wait(job.stopping)
    phase_record.note_request(job.output)


@pytest.mark.fault(
    "{kind} on Slurm {how} within a {phase}",
    "ends with status 75 in time, is queued again, and ends as the undisturbed run (each step, and weights to 1e-6)",
    sample=1,
)
def test_a_job_that_made_room_ends_as_the_undisturbed_one(
    kind: str,
    phase: str,
    how: str,
    repeat: int,
    chance: random.Random,
    notice: Notice,
    cluster: Cluster,
    request: pytest.FixtureRequest,
) -> None:
    begin, whole = request.getfixturevalue(kind.lower())
    job = begin(f"{how.split()[0]}-{phase.split()[0]}-{repeat}")
    job.wait_for_step(chance.randint(1, STEPS[kind] - 5))
    stopped = job.hold(phase, chance)
    if how == WARNED:
        warn(job)
    else:
        cluster.preempt()
        job.wait(job.stopping)
    with notice.within(KILL_WAIT_S if how == PREEMPTED else TIMEOUT_S):
        job.release(stopped)
        job.wait(job.has_made_room)
    assert job.finished()["Restarts"] == "1"
    if kind == "GRPO":
        assert phase_record.phase_of_signal(phase_record.read(job.output)) == phase
    same(whole, job)
    assert ("waits for its next turn" in job.log.read_text()) == (how == WARNED)


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
