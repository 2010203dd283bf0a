"""Trainings over two nodes of a real Slurm: the run of one host, also where a node is lost or the job preempted.

Servers are on n1 and two ranks on n2; of SFT one rank on each. `python -m tests.faults --slurm` does so in each phase
and with ZeRO-3; in an ordinary run of the tests one node is lost.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import phase_record
from tests.support.fault_runs import Notice
from tests.support.grpo_runs import completed, lessons, metrics, weights
from tests.support.phase_record import ROLLOUT, SAVE, STEP, WEIGHTS
from tests.support.slurm_cluster import KILL_WAIT_S, Cluster, slurm_cluster, why_not
from tests.support.slurm_jobs import TIMEOUT_S, Job
from tests.support.two_ranks import grpo_words, sft_words
from trainers.launch.hosts.token_file import TOKEN_FILE

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.timeout(2 * TIMEOUT_S)]
STEPS = {"GRPO": 6, "SFT": 24}
SAME = 1e-5
ENDED_WITHIN_S = 60
TAUGHT = ("question", "approach", "teaching", "taught", "reward")
START, LOADS_S = "start-up", 20.0
SCRIPTS = {"GRPO": "launch_with_server", "SFT": "launch"}
LOST_SERVERS, LOST_RANKS, PREEMPTED = "the servers' node lost", "the ranks' node lost", "preempted"
NODES = {LOST_SERVERS: "n1", LOST_RANKS: "n2"}
LEFT = {LOST_SERVERS: "n[2-3]", LOST_RANKS: "n[1,3]"}
SHORT = {"zero": ["zero1"], "disturbed": [("GRPO", LOST_RANKS, STEP)]}
PHASES = (STEP, ROLLOUT, SAVE, WEIGHTS)
ASKED = {
    "zero": ["zero1", "zero3"],
    "disturbed": [
        *(("GRPO", how, phase) for how in NODES for phase in (START, *PHASES)),
        *(("GRPO", PREEMPTED, phase) for phase in PHASES),
        ("SFT", LOST_RANKS, STEP),
    ],
}
Alone = Callable[..., tuple[list[str], Path]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Do everything where that is asked for, else what takes least."""
    ways = SHORT if metafunc.config.getoption("--real-repeats") is None else ASKED
    for name, chosen in ways.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, chosen, ids=lambda each: each if isinstance(each, str) else "-".join(each))


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of three nodes, one of which is spare."""
    if missing := why_not():
        pytest.skip(missing)
    # The path of munge's socket may not be long.
    with slurm_cluster(tmp_path_factory.mktemp("slurm"), nodes=3) as running:
        yield running


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, tiny_teacher_dir: Path, tiny_student_dir: Path) -> Alone:
    """Return the arguments of a training and the output of its run on one host, which is made once."""
    made: dict[tuple[str, str], tuple[list[str], Path]] = {}

    def run(kind: str = "GRPO", zero: str = "zero1") -> tuple[list[str], Path]:
        if (kind, zero) not in made:
            directory, saved = tmp_path_factory.mktemp("alone"), ("save_strategy=steps", "save_steps=1")
            if kind == "SFT":
                words = sft_words(directory, tiny_teacher_dir, STEPS[kind], *saved)
            else:
                words = grpo_words(directory, tiny_teacher_dir, tiny_student_dir, STEPS[kind], zero)
            completed(["bash", f"scripts/{SCRIPTS[kind]}.sh", *words, f"output_dir={directory}/one"])
            made[kind, zero] = words, directory / "one"
        return made[kind, zero]

    return run


def begin(cluster: Cluster, kind: str, words: list[str], directory: Path) -> Job:
    """Begin a training on two nodes."""
    return Job(cluster, f"{SCRIPTS[kind]}.sbatch", words, directory, ("-N", "2", "--time=30"))


def same(one: Path, other: Path) -> None:
    """Compare two runs: every lesson, every step, and the weights."""
    expected, found = metrics(one), metrics(other)
    assert list(found) == list(expected) == list(range(1, len(expected) + 1))
    for step, row in expected.items():
        for name in {"loss", "reward", "grad_norm"} & row.keys():
            assert found[step][name] == pytest.approx(row[name], abs=SAME), (step, name)
    taught = sorted((one / "lessons").glob("step_*.jsonl"))
    for step in range(len(taught)):
        assert [[lesson[name] for name in TAUGHT] for lesson in lessons(other, step)] == [
            [lesson[name] for name in TAUGHT] for lesson in lessons(one, step)
        ]
    before, after = weights(one), weights(other)
    assert max((after[name] - before[name]).abs().max().item() for name in before) <= SAME


@pytest.mark.fault("GRPO by {zero} on two nodes of Slurm in place of one host", "the same lessons, weights to 1e-5")
def test_grpo_over_two_nodes_is_grpo_on_one_host(zero: str, cluster: Cluster, alone: Alone, tmp_path: Path) -> None:
    words, one = alone("GRPO", zero)
    run = begin(cluster, "GRPO", words, tmp_path / "two")
    run.wait(lambda: any("train.py" in " ".join(each.cmdline()) for each in cluster.processes("n2")))
    assert any("vllm_entry" in " ".join(each.cmdline()) for each in cluster.processes("n1"))
    assert run.finished()["NumNodes"] == "2"
    same(one, run.output)
    assert len(list((one / "lessons").glob("step_*.jsonl"))) == STEPS["GRPO"]
    assert not (run.output / TOKEN_FILE).exists()


@pytest.mark.fault(
    "{disturbed[0]} on two nodes of Slurm, {disturbed[1]} within a {disturbed[2]}",
    "no process of the job is left after 60 s, 30 if preempted; it is queued again, and ends as on one host (1e-5)",
    sample=1,
)
def test_a_disturbed_job_ends_everywhere_and_the_queued_job_finishes(
    disturbed: tuple[str, str, str],
    chance: random.Random,
    notice: Notice,
    cluster: Cluster,
    alone: Alone,
    tmp_path: Path,
) -> None:
    kind, how, phase = disturbed
    words, one = alone(kind)
    run, stopped = begin(cluster, kind, words, tmp_path / "disturbed"), []
    if phase == START:
        run.wait(lambda: bool(cluster.processes(NODES[how])))
        time.sleep(chance.uniform(0, LOADS_S))
        assert not phase_record.read(run.output)
    else:
        run.wait_for_step(chance.randint(1, 2))
        stopped = run.hold(phase, chance)
    if how == PREEMPTED:
        cluster.preempt()
        run.wait(run.stopping)
    with notice.within(KILL_WAIT_S if how == PREEMPTED else ENDED_WITHIN_S):
        if how != PREEMPTED:
            cluster.lose(NODES[how])
            assert phase in (START, run.phase())
        run.release(stopped)
        run.wait(lambda: not run.is_in_its_first_turn())
    facts = run.finished()
    assert (facts["Restarts"], facts["NumNodes"]) == ("1", "2")
    if how == PREEMPTED:
        assert phase_record.phase_of_signal(phase_record.read(run.output)) == phase
    else:
        assert facts["NodeList"] == LEFT[how]
    same(one, run.output)
