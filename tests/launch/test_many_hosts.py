"""Four launchers with 32 processes: servers on two hosts, ranks on the others, and one of each failing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from scripts.benchmarks.performance import launchers
from tests.launch.test_together import nothing_left
from tests.support.free_ports import consecutive_free_ports
from tests.support.host_launches import HostLaunches
from tests.support.many_hosts import BEGUN, FAILS, HOSTS, PLACES, many_hosts
from trainers.launch.outcome import SERVER_ERROR

SERVING, TRAINING = range(2), range(2, HOSTS)


def started(directory: Path, environment: dict[str, str] | None = None) -> HostLaunches:
    """Return a run whose ranks are up."""
    port = consecutive_free_ports(1 + PLACES)
    run = many_hosts(directory, (port, port + 1), environment)
    run.start(*range(HOSTS))
    for place in TRAINING:
        run.wait_for(place, BEGUN)
    return run


@pytest.mark.slow
def test_a_server_of_32_processes_that_fails_ends_all_four_hosts(tmp_path: Path) -> None:
    run = started(tmp_path)
    servers = [process for process in run.processes(1) if "stand_in_server" in process.cmdline()]
    # Each with the guard that ends it with its launcher.
    assert len(servers) == 2 * PLACES
    records = sorted((tmp_path / "workspace" / "rl").glob("servers-*.json"))
    assert [len(json.loads(path.read_text())) for path in records] == [PLACES, PLACES]
    servers[0].kill()
    assert run.statuses() == [SERVER_ERROR] * HOSTS, "\n".join(map(run.said, range(HOSTS)))
    last_lines = run.last_lines()
    assert all("the run ended by host 127.0.0.3: Server " in line for line in last_lines), last_lines
    assert nothing_left(run, *range(HOSTS))


@pytest.mark.slow
def test_a_rank_of_32_processes_that_fails_ends_all_four_hosts(tmp_path: Path) -> None:
    run = started(tmp_path, {FAILS: "3"})
    assert run.statuses() == [7] * HOSTS, "\n".join(map(run.said, range(HOSTS)))
    last_lines = run.last_lines()
    assert all("the run ended by host 127.0.0.5: its part of the training" in line for line in last_lines), run.said(0)[
        -1500:
    ]
    assert nothing_left(run, *range(HOSTS))


def test_shares_of_a_core_are_cpu_seconds_by_seconds() -> None:
    assert launchers.shares_of([1.0, 2.0], [1.5, 2.0], 10.0) == [0.05, 0.0]
    [first, *_, last] = launchers.rows([1.0, 1.0, 1.0, 2.5], [0.05, 0.0, 0.0, 0.001])
    assert first == ("1", "8 servers", "1.00", "5.00%")
    assert last == ("4", "8 ranks", "2.50", "0.10%")


def test_cpu_is_that_of_the_processes_themselves() -> None:
    before = launchers.cpu_s([os.getpid()])
    sum(range(2_000_000))
    assert launchers.cpu_s([os.getpid()])[0] > before[0]
