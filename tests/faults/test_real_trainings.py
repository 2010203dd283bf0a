"""A real training under DeepSpeed, of which any process is ended at any moment, ends as one that nobody disturbed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from tests.faults.test_killed_processes import VICTIMS, end_at_some_moment, signals_to
from tests.support.fault_runs import Notice
from tests.support.grpo_runs import metrics, weights
from tests.support.stand_in_runs import Launched

pytestmark = pytest.mark.slow
STEPS = 5
TOLERANCE = 1e-6


def training(workspace: Path, directory: Path) -> Launched:
    """Return a launch of SFT on two processes, which saves at every step."""
    directory.mkdir()
    arguments = ["--servers", "0", "--trainers", "2", "quickstart_sft", f"workspace={workspace}"]
    arguments += [f"output_dir={directory / 'run'}", f"max_steps={STEPS}", "warmup_steps=1", "logging_steps=1"]
    arguments += ["dataset_max_samples=40", "train_batch_size=16", "per_device_train_batch_size=8"]
    # Asked to make room while it loads, it would load to its end first, for which it has 25 s by default.
    arguments += ["save_strategy=steps", "save_steps=1", "save_total_limit=2", "save_grace_s=4"]
    return Launched(arguments, directory / "run", directory)


@pytest.fixture(scope="module")
def undisturbed(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights that nobody disturbed."""
    run = training(workspace, tmp_path_factory.mktemp("undisturbed") / "run")
    status, said = run.to_its_end()
    assert status == 0, said
    return weights(run.output)


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
    trained = weights(run.output)
    assert max((trained[name] - undisturbed[name]).abs().max().item() for name in undisturbed) < TOLERANCE
