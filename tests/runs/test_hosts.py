"""The same training on one host and over two: the same losses and weights.

A host is a launcher at an address of its own, by hand, and a node of a real Slurm, by `sbatch -N 2`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.free_ports import consecutive_free_ports
from tests.support.grpo_runs import completed, metrics, weights
from tests.support.host_launches import HostLaunches
from tests.support.slurm_cluster import slurm_cluster, why_not
from tests.support.slurm_jobs import Job
from tests.support.two_ranks import sft_words
from trainers.launch.hosts.token_file import TOKEN_FILE

pytestmark = pytest.mark.slow
STEPS = 3
SAME = 1e-5


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where data and runs of this module lie."""
    return tmp_path_factory.mktemp("hosts")


@pytest.fixture(scope="module")
def words(directory: Path, tiny_teacher_dir: Path) -> list[str]:
    """The arguments of a training by two ranks, without `output_dir`."""
    return sft_words(directory, tiny_teacher_dir, STEPS, "save_strategy=no")


@pytest.fixture(scope="module")
def alone(directory: Path, words: list[str]) -> Path:
    """Its output on one host."""
    completed(["bash", "scripts/launch.sh", *words, f"output_dir={directory}/one"])
    return directory / "one"


def same(one: Path, other: Path) -> None:
    """Compare two runs: every step, and the weights."""
    expected, found = metrics(one), metrics(other)
    assert list(found) == list(expected) == list(range(1, STEPS + 1))
    for step, row in expected.items():
        for name in ("loss", "grad_norm"):
            assert found[step][name] == pytest.approx(row[name], abs=SAME), (step, name)
    before, after = weights(one), weights(other)
    assert max((after[name] - before[name]).abs().max().item() for name in before) <= SAME


def test_sft_over_two_hosts_is_sft_on_one(words: list[str], alone: Path, tmp_path: Path) -> None:
    launched = ["--servers", "0", "--trainers", *words, f"output_dir={tmp_path}/two"]
    run = HostLaunches(2, launched, tmp_path / "logs", consecutive_free_ports(1))
    run.start(0, 1)
    assert run.statuses(400) == [0, 0], run.said(0)[-3000:] + run.said(1)[-3000:]
    same(alone, tmp_path / "two")
    assert "trainer-1" in run.said(1)


def test_sft_over_two_nodes_of_slurm_is_sft_on_one(words: list[str], alone: Path, directory: Path) -> None:
    if missing := why_not():
        pytest.skip(missing)
    # The path of munge's socket may not be long.
    with slurm_cluster(directory / "slurm", nodes=2) as cluster:
        job = Job(cluster, "launch.sbatch", words, directory / "job", ("-N", "2"))
        assert job.finished()["NumNodes"] == "2"
    same(alone, job.output)
    assert not (job.output / TOKEN_FILE).exists()
