"""A process that a signal has stopped is named and killed, and not one that is merely slow or goes on again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from trainers.launch.supervise.stopped_processes import LOOKS, StoppedProcesses
from trainers.serving.processes.health_watch import INTERVAL_S

HEAD = """
import os, subprocess, sys
rank = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={**os.environ, "RANK": "1"})
print(rank.pid, flush=True)
rank.wait()
"""


@pytest.fixture
def rank() -> Iterator[psutil.Process]:
    """A child of a child of this process."""
    with subprocess.Popen([sys.executable, "-c", HEAD], stdout=subprocess.PIPE, text=True) as head:
        assert head.stdout is not None
        child = psutil.Process(int(head.stdout.readline()))
        yield child
        with suppress(psutil.NoSuchProcess):
            child.kill()


def until_stopped(process: psutil.Process) -> None:
    while process.status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)


def watch_over(rank: psutil.Process, every_s: float, looks: int) -> StoppedProcesses:
    head = rank.parent()
    assert head is not None
    return StoppedProcesses(head.pid, "trainer", every_s=every_s, looks=looks)


def test_it_is_named_within_a_minute() -> None:
    assert (LOOKS + 1) * INTERVAL_S <= 60


def test_a_stopped_rank_is_named_and_killed(rank: psutil.Process, caplog: pytest.LogCaptureFixture) -> None:
    watch = watch_over(rank, every_s=0.0, looks=3)
    rank.suspend()
    until_stopped(rank)
    for _ in range(2):
        watch.end()
    assert (rank.status(), caplog.messages) == (psutil.STATUS_STOPPED, [])
    watch.end()
    rank.wait(30)
    assert not rank.is_running()
    assert f"process {rank.pid} of the trainer (rank 1) is stopped, as by SIGSTOP" in caplog.text
    watch.end()


def test_what_goes_on_again_is_left_alone(rank: psutil.Process) -> None:
    watch = watch_over(rank, every_s=0.0, looks=3)
    for _ in range(3):
        rank.suspend()
        until_stopped(rank)
        watch.end()
        watch.end()
        rank.send_signal(signal.SIGCONT)
        while rank.status() == psutil.STATUS_STOPPED:
            time.sleep(0.01)
        watch.end()
    assert rank.is_running()


def test_looks_have_a_pause_between_them(rank: psutil.Process) -> None:
    watch = watch_over(rank, every_s=60.0, looks=2)
    rank.suspend()
    until_stopped(rank)
    for _ in range(5):
        watch.end()
    assert rank.is_running()
