"""A real training under DeepSpeed, of which any process is ended at any moment, ends as one that nobody disturbed."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from tests.faults.test_killed_processes import VICTIMS, end_at_some_moment, find, signals_to
from tests.support.fault_runs import Notice
from tests.support.grpo_runs import metrics, weights
from tests.support.small_disk import fill, small_disk
from tests.support.stand_in_runs import LONGEST_S, NOTHING, Launched
from trainers.launch.supervise.interruption import PREEMPTED
from trainers.output.checkpoints import newest_whole

pytestmark = pytest.mark.slow
STEPS = 5
TOLERANCE = 1e-6
AT_ONCE_S = 5.0
"""Seconds in which a launch is gone that has nothing to save; loading takes longer."""


def training(
    workspace: Path, directory: Path, *overrides: str, environment: Mapping[str, str | None] = NOTHING
) -> Launched:
    """Return a launch of SFT on two processes, which saves at every step."""
    directory.mkdir()
    arguments = ["--servers", "0", "--trainers", "2", "quickstart_sft", f"workspace={workspace}"]
    arguments += [f"output_dir={directory / 'run'}", f"max_steps={STEPS}", "warmup_steps=1", "logging_steps=1"]
    arguments += ["dataset_max_samples=40", "train_batch_size=16", "per_device_train_batch_size=8"]
    arguments += ["save_strategy=steps", "save_steps=1", "save_total_limit=2"]
    return Launched([*arguments, *overrides], directory / "run", directory, environment)


def furthest(trained: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Return the largest difference between two models."""
    return max((trained[name] - other[name]).abs().max().item() for name in other)


@pytest.fixture(scope="module")
def undisturbed(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights that nobody disturbed."""
    run = training(workspace, tmp_path_factory.mktemp("undisturbed") / "run")
    status, said = run.to_its_end()
    assert status == 0, said
    return weights(run.output)


@pytest.mark.fault(
    "TERM to the launcher of a real SFT under DeepSpeed (2 processes) while its ranks load",
    "status 75, no process left after 5 s, no checkpoint; the same command ends with the weights of an undisturbed run",
)
def test_a_real_training_that_loads_ends_at_once(
    undisturbed: dict[str, torch.Tensor], notice: Notice, workspace: Path, tmp_path: Path
) -> None:
    run = training(workspace, tmp_path / "run")
    with run.running(start_new_session=True) as launch:
        while find(launch.pid, "rank 1") is None:
            time.sleep(0.05)
        launch.terminate()
        with notice.within(AT_ONCE_S):
            run.wait_until_gone()
        assert launch.wait() == PREEMPTED
    assert newest_whole(run.output) == (None, {})
    status, said = run.to_its_end()
    assert status == 0, said
    assert list(metrics(run.output)) == list(range(1, STEPS + 1))
    assert furthest(weights(run.output), undisturbed) < TOLERANCE


@pytest.mark.fault(
    "launcher, guard, agent or a rank of a real SFT under DeepSpeed (2 processes) ended by KILL, TERM, INT or HUP",
    "no process is left after 10 s; the same command ends with the weights of an undisturbed run (1e-6)",
    sample=1,
)
def test_a_real_training_outlives_the_end_of_any_of_its_processes(
    chance: random.Random,
    notice: Notice,
    undisturbed: dict[str, torch.Tensor],
    workspace: Path,
    tmp_path: Path,
) -> None:
    run = training(workspace, tmp_path / "run")
    victim = chance.choice(VICTIMS)
    end_at_some_moment(run, victim, chance.choice(signals_to(victim)), chance, notice, STEPS, step_s=2.0)
    status, said = run.to_its_end()
    assert status == 0, said
    assert list(metrics(run.output)) == list(range(1, STEPS + 1))
    assert furthest(weights(run.output), undisturbed) < TOLERANCE


@pytest.mark.fault(
    "the disk under W&B's own files is full from any moment on of a real SFT under DeepSpeed (2 processes)",
    "told with path and remedy; every row of metrics, every checkpoint and the weights are those of an undisturbed run",
    sample=1,
)
def test_a_full_disk_under_the_files_of_wandb_costs_a_real_training_nothing(
    chance: random.Random, undisturbed: dict[str, torch.Tensor], workspace: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path, 2000) as disk:
        environment = {"WANDB_DIR": str(disk), "WANDB_MODE": "offline"}
        run, step = (
            training(workspace, tmp_path / "run", "report_to=wandb", environment=environment),
            chance.randrange(3),
        )
        with run.running() as launch:
            while run.steps() < step:
                assert launch.poll() is None, launch.communicate()[1]
                time.sleep(0.01)
            fill(disk)
            _, said = launch.communicate(timeout=LONGEST_S)
        assert launch.returncode == 0, said
    logged = (run.output / "trainer.log").read_text(encoding="utf-8")
    assert logged.count("name another directory by WANDB_DIR") == 1
    assert str(disk) in logged
    assert "Traceback" not in logged
    assert list(metrics(run.output)) == list(range(1, STEPS + 1))
    assert newest_whole(run.output) == (run.output / f"checkpoint-{STEPS}", {})
    assert furthest(weights(run.output), undisturbed) < TOLERANCE
