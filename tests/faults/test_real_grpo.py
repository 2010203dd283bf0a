"""A rank of a real GRPO run is killed or stopped in any phase: the continued run ends as an undisturbed one."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.faults.test_killed_processes import NO_ORPHAN_S, find
from tests.faults.test_real_trainings import TOLERANCE, furthest
from tests.support.fault_runs import Notice
from tests.support.grpo_runs import arguments, metrics, restore, weights
from tests.support.server_pair import ServerPair
from tests.support.stand_in_runs import Launched
from trainers.output.checkpoints import MANIFEST
from trainers.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(1800)]
STEPS = 4
NAMED_S = 60.0
"""Seconds in which a rank that is stopped has to be named."""
BEGINS: dict[str, tuple[str, float]] = {
    "sync": (f"checkpoint-{{0}}/{MANIFEST}", 1.0),
    "rollout": (f"checkpoint-{{0}}/{MANIFEST}", 4.0),
    "training": ("lessons/step_{0:06d}.jsonl", 1.0),
    "save": ("checkpoint-{0}", 0.5),
}
"""Of each phase after a step, the file that is there when it begins or soon after, and seconds that it lasts, about."""


def training(servers: ServerPair, directory: Path) -> Launched:
    """Return a launch of GRPO on two ranks under DeepSpeed, by servers that run, which saves at every step."""
    recipe, *overrides = arguments(
        servers, directory, f"max_steps={STEPS}", "rollout_overlap=0", "report_to=null", "save_strategy=steps"
    )
    command = ["--servers", "0", "--trainers", "2", str(ROOT / recipe), *overrides]
    return Launched([*command, "save_steps=1", "save_total_limit=2"], directory / "run", directory)


@pytest.fixture(scope="module")
def undisturbed(servers: ServerPair, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights that nobody disturbed."""
    run = training(servers, tmp_path_factory.mktemp("undisturbed"))
    status, said = run.to_its_end()
    assert status == 0, said
    return weights(run.output)


def disturbed(
    run: Launched, how: signal.Signals, chance: random.Random, check: Callable[[subprocess.Popen[str]], None]
) -> str:
    """Send a signal to a rank in some phase of some step, and check the launch then; return what was done."""
    victim, phase = chance.choice(("rank 0", "rank 1")), chance.choice(list(BEGINS))
    step = chance.randrange(1, STEPS)
    sign, lasts_s = BEGINS[phase]
    with run.running(start_new_session=True) as launch:
        while not (run.output / sign.format(step)).exists():
            assert launch.poll() is None, launch.communicate()[1]
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, lasts_s))
        found = find(launch.pid, victim)
        assert found is not None
        found.send_signal(how)
        check(launch)
        _, said = launch.communicate(timeout=60)
    assert launch.returncode > 0, said
    return f"{how.name} to {victim} in the {phase} after step {step}"


def goes_on_as_if_undisturbed(run: Launched, undisturbed: dict[str, torch.Tensor], what: str) -> None:
    """Check that the same command goes on, and ends as a run that nobody disturbed."""
    status, said = run.to_its_end()
    assert status == 0, f"{what}: {said}"
    assert list(metrics(run.output)) == list(range(1, STEPS + 1)), what
    assert (run.output / "finished.json").is_file(), what
    assert furthest(weights(run.output), undisturbed) < TOLERANCE, what


@pytest.mark.fault(
    "rank 0 or 1 of a real GRPO run (two ranks under DeepSpeed, `vllm serve`) killed in rollout, step, sync or save",
    "no process is left after 10 s; the same command ends with the weights of an undisturbed run (1e-6)",
    sample=0,
)
def test_a_rank_of_a_real_grpo_run_is_killed(
    chance: random.Random,
    notice: Notice,
    undisturbed: dict[str, torch.Tensor],
    servers: ServerPair,
    tmp_path: Path,
) -> None:
    run = training(servers, tmp_path)

    def soon_gone(_: subprocess.Popen[str]) -> None:
        with notice.within(NO_ORPHAN_S):
            run.wait_until_gone()

    what = disturbed(run, signal.SIGKILL, chance, soon_gone)
    goes_on_as_if_undisturbed(run, undisturbed, what)
    restore(servers)


@pytest.mark.fault(
    "rank 0 or 1 of a real GRPO run (two ranks under DeepSpeed, `vllm serve`) stopped in rollout, step, sync or save",
    "named within 60 s, and killed; no process is left after 10 s more; then as after a kill",
    sample=0,
)
def test_a_rank_of_a_real_grpo_run_is_stopped(
    chance: random.Random,
    notice: Notice,
    undisturbed: dict[str, torch.Tensor],
    servers: ServerPair,
    tmp_path: Path,
) -> None:
    run = training(servers, tmp_path)

    def named_and_gone(launch: subprocess.Popen[str]) -> None:
        assert launch.stderr is not None
        with notice.within(NAMED_S):
            assert any("is stopped, as by SIGSTOP" in line for line in launch.stderr)
        with notice.within(NO_ORPHAN_S):
            run.wait_until_gone()

    what = disturbed(run, signal.SIGSTOP, chance, named_and_gone)
    goes_on_as_if_undisturbed(run, undisturbed, what)
    restore(servers)
