"""GRPO over two nodes of a real Slurm: the run of one host; and a node that is lost, after which the job goes on.

Servers are on n1 and two ranks on n2. `ATLAS_NODES=5 python -m pytest -v tests/runs/test_nodes.py` loses a node five
times in each phase, and trains with ZeRO-3 as well.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tests.support.free_ports import consecutive_free_ports
from tests.support.grpo_runs import arguments, completed, lessons, metrics, weights
from tests.support.slurm_cluster import Cluster, slurm_cluster, why_not
from tests.support.slurm_jobs import Job
from trainers.launch.hosts.token_file import TOKEN_FILE

pytestmark = pytest.mark.slow
REPEATS = int(os.environ.get("ATLAS_NODES", "0"))
ZEROS = ("zero1", "zero3") if REPEATS else ("zero1",)
PHASES = ("start", "step", "save") if REPEATS else ("step",)
STEPS = 4
SAME = 1e-5
ENDED_WITHIN_S = 60
TAUGHT = ("question", "approach", "teaching", "taught", "reward")


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of three nodes, one of which is spare."""
    if missing := why_not():
        pytest.skip(missing)
    # The path of munge's socket may not be long.
    with slurm_cluster(tmp_path_factory.mktemp("slurm"), nodes=3) as running:
        yield running


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where data and runs of this module lie."""
    return tmp_path_factory.mktemp("nodes")


@pytest.fixture(scope="module")
def words(directory: Path, tiny_teacher_dir: Path, tiny_student_dir: Path) -> list[str]:
    """The arguments of a training with a server for each model and two ranks, without `output_dir`."""
    models = SimpleNamespace(
        teacher=SimpleNamespace(model=str(tiny_teacher_dir), port=consecutive_free_ports(2)),
        student=SimpleNamespace(model=str(tiny_student_dir)),
    )
    given = [word for word in arguments(models, directory) if not word.startswith("output_dir=")]
    more = (
        f"max_steps={STEPS}",
        "rollout_overlap=0",
        "per_device_train_batch_size=4",
        "save_completions_probability=1",
    )
    saved = ("save_strategy=steps", "save_steps=1", "save_total_limit=2", "--no-preflight")
    return ["2", "2", *given, *more, *saved]


def job(cluster: Cluster, words: list[str], directory: Path) -> Job:
    """Begin the training on both nodes."""
    return Job(cluster, "launch_with_server.sbatch", words, directory, ("-N", "2", "--time=30"))


def same(one: Path, other: Path) -> None:
    """Compare two runs: every lesson, every step, and the weights."""
    expected, found = metrics(one), metrics(other)
    assert list(found) == list(expected) == list(range(1, STEPS + 1))
    for step, row in expected.items():
        for name in ("loss", "reward", "grad_norm"):
            assert found[step][name] == pytest.approx(row[name], abs=SAME), (step, name)
    for step in range(STEPS):
        assert [[lesson[name] for name in TAUGHT] for lesson in lessons(other, step)] == [
            [lesson[name] for name in TAUGHT] for lesson in lessons(one, step)
        ]
    before, after = weights(one), weights(other)
    assert max((after[name] - before[name]).abs().max().item() for name in before) <= SAME


@pytest.fixture(scope="module", params=ZEROS)
def alone(request: pytest.FixtureRequest, directory: Path, words: list[str]) -> tuple[list[str], Path]:
    """The arguments with one of DeepSpeed's stages, and the output of the run on one host."""
    staged, output = [*words, request.param], directory / f"one-{request.param}"
    completed(["bash", "scripts/launch_with_server.sh", *staged, f"output_dir={output}"])
    return staged, output


def test_grpo_over_two_nodes_is_grpo_on_one_host(
    cluster: Cluster, alone: tuple[list[str], Path], tmp_path: Path
) -> None:
    staged, one = alone
    run = job(cluster, staged, tmp_path / "two")
    run.wait(lambda: any("train.py" in " ".join(each.cmdline()) for each in cluster.processes("n2")))
    assert any("vllm_entry" in " ".join(each.cmdline()) for each in cluster.processes("n1"))
    assert run.finished()["NumNodes"] == "2"
    same(one, run.output)
    assert not (run.output / TOKEN_FILE).exists()


@pytest.mark.parametrize("turn", range(REPEATS or 1))
@pytest.mark.parametrize("phase", PHASES)
def test_a_lost_node_ends_the_job_everywhere_and_the_queued_job_finishes(
    phase: str, turn: int, cluster: Cluster, alone: tuple[list[str], Path], tmp_path: Path
) -> None:
    chance = random.Random(f"{phase} {turn}")
    staged, one = alone
    run = job(cluster, staged, tmp_path / "lost")
    if phase == "start":
        run.wait(lambda: bool(cluster.processes("n2")))
    else:
        run.wait_for_step(2)
        if phase == "save":
            run.wait_for_save()
    time.sleep(chance.uniform(0, 1))
    others = cluster.processes("n1")
    cluster.lose("n2")
    _, left = psutil.wait_procs(others, ENDED_WITHIN_S)
    assert not left, run.said()
    facts = run.finished()
    assert (facts["Restarts"], facts["NodeList"]) == ("1", "n[1,3]")
    same(one, run.output)
