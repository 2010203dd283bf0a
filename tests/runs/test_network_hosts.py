"""GRPO over hosts that have networks, names and processes of their own: as on one host, and open to no other."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.runs.test_nodes import same
from tests.support.fault_runs import Notice
from tests.support.grpo_runs import completed, metrics
from tests.support.network_hosts import NetworkHost, NetworkRun, network_hosts
from tests.support.two_ranks import grpo_words
from trainers.launch.hosts.endings import HOST_LOST
from trainers.launch.hosts.listing import DEFAULT_PORT
from trainers.output.checkpoints import newest_whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STEPS = 6
LAUNCH = ("bash", "scripts/launch_with_server.sh")
ENDED_WITHIN_S = 60
OUTAGE_S = 8.0
LOOPBACK = {"127.0.0.1", "[::1]"}


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory, tiny_teacher_dir: Path, tiny_student_dir: Path) -> list[str]:
    """The arguments of a run with servers in one place and two ranks by ZeRO-3, without `output_dir`."""
    directory = tmp_path_factory.mktemp("words")
    _, _, *others = grpo_words(directory, tiny_teacher_dir, tiny_student_dir, STEPS, "zero3")
    return ["1", "2", *others]


@pytest.fixture(scope="module")
def alone(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its output on one host."""
    output = tmp_path_factory.mktemp("alone") / "one"
    completed([*LAUNCH, *words, f"output_dir={output}"])
    return output


@pytest.fixture
def hosts() -> Iterator[list[NetworkHost]]:
    """Three hosts of a run, servers on the first and a rank on each other, and a stranger on their switch."""
    with network_hosts(4) as made:
        yield made


def steps(output: Path) -> int:
    """Return how many steps are logged."""
    return len(metrics(output)) if (output / "metrics.jsonl").exists() else 0


def answered(stranger: NetworkHost, urls: list[str]) -> list[int]:
    """Return the statuses that another host of the network gets, without a token."""
    code = "import sys, httpx; print(*(httpx.get(url, trust_env=False).status_code for url in sys.argv[1:]))"
    command = stranger.command(sys.executable, "-c", code, *urls)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [int(status) for status in done.stdout.split()]


def is_closed_to(stranger: NetworkHost, run: Sequence[NetworkHost], output: Path) -> None:
    """Assert that the hosts of a run listen at the address of the run alone, and ask a stranger for the token."""
    for host in run:
        assert {address for address, _ in host.listens_at()} <= LOOPBACK | {host.address}
    [file] = output.glob("servers-*.json")
    addresses = [f"http://{run[0].address}:{DEFAULT_PORT}", *(each["url"] for each in json.loads(file.read_text()))]
    asked = [f"{address}{path}" for address in addresses for path in ("/", "/v1/models")]
    assert answered(stranger, asked) == [401] * 6


@pytest.mark.fault(
    "the cable of one of three hosts of GRPO out for 8 s",
    "the run goes on: the same lessons as on one host, weights to 1e-5",
    sample=1,
)
def test_grpo_over_a_network_is_grpo_on_one_host_also_when_a_cable_was_out(
    hosts: list[NetworkHost], words: list[str], alone: Path, chance: random.Random, tmp_path: Path
) -> None:
    *run, stranger = hosts
    output = tmp_path / "three"
    with NetworkRun(run, [*LAUNCH, *words, f"output_dir={output}"], tmp_path / "logs") as started:
        started.wait(lambda: steps(output) >= 1)
        is_closed_to(stranger, run, output)
        host = chance.choice(run)
        host.cut()
        time.sleep(OUTAGE_S)
        before = steps(output)
        host.mend()
        assert started.statuses(300) == [0] * 3, started.said()
    assert before < STEPS
    same(alone, output)


@pytest.mark.fault(
    "the cable of one of three hosts of GRPO out for good",
    "all hosts end within 60 s, name one that they do not reach, and leave no process",
    sample=1,
)
def test_hosts_that_do_not_reach_each_other_all_end(
    hosts: list[NetworkHost], words: list[str], chance: random.Random, notice: Notice, tmp_path: Path
) -> None:
    run, output = hosts[:3], tmp_path / "three"
    with NetworkRun(run, [*LAUNCH, *words, "max_steps=1000", f"output_dir={output}"], tmp_path / "logs") as started:
        started.wait(lambda: steps(output) >= 2)
        time.sleep(chance.uniform(0, 3))
        lost = chance.choice(run)
        lost.cut()
        with notice.within(ENDED_WITHIN_S):
            # A host counts as running until nothing on it runs any more.
            assert started.statuses(2 * ENDED_WITHIN_S) == [HOST_LOST] * 3
        # All report to the first one, which names the one that fell silent first.
        for host, line in zip(run, started.last_lines(), strict=True):
            unreached = [lost] if host is not lost else run[:1] if host is not run[0] else run[1:]
            assert any(f"the run ended by host {other.name}: nothing was heard of it" in line for other in unreached)
    assert newest_whole(output)[0] is not None
