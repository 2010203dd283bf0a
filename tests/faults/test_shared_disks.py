"""Launches on several hosts that share a disk: one runs, and the others are refused, who cannot see its processes."""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.fault_runs import Notice
from tests.support.other_hosts import lose, on_host
from tests.support.stand_in_runs import LONGEST_S, Launched, StandInRun
from tests.support.stand_in_training import PAUSE, STEPS
from trainers.output import lock
from trainers.output.lock import LOCK, STALE_AFTER_S, Holder, _read
from trainers.problems import ConfigurationError

REFUSED_S = 2.0
ASKS_IN_TIME = """
import sys, time
from trainers.launch import __main__ as launcher
locked = launcher.locked
def timed(output_dir):
    global since
    since = time.monotonic()
    return locked(output_dir)
launcher.locked = timed
status = launcher.main()
sys.stderr.write(f"{time.monotonic() - since:.3f} s from asking to the end\\n")
sys.exit(status)
"""
"""A launcher that says how long it took from asking for the lock to its end."""
BEATS_OFTEN = """
import sys
from trainers.launch.__main__ import main
from trainers.output import lock
lock.HEARTBEAT_S = 0.2
sys.exit(main())
"""
"""A launcher that touches its lock five times a second, instead of every 15 s."""
SILENCE_S = 3.0


@contextmanager
def running_on(before: Sequence[str], run: Launched) -> Iterator[subprocess.Popen[str]]:
    """Have a run go on another host, or on this one, past its first step."""
    with run.running(*before, start_new_session=True) as launch:
        while run.steps() < 1:
            assert launch.poll() is None, launch.communicate()[1]
            time.sleep(0.01)
        yield launch


@contextmanager
def at_rest(run: Launched) -> Iterator[None]:
    """Have a run make no step meanwhile, for less than the 45 s after which its launcher would find it stopped."""
    [trainer] = [process for process in run.processes() if any("train()" in word for word in process.cmdline())]
    trainer.suspend()
    yield
    trainer.resume()


def holder_of(run: Launched) -> Holder:
    """Return who holds the lock of a run."""
    holder = _read(run.output / LOCK)
    assert holder is not None
    return holder


def asking(workspace: Path) -> Launched:
    """Return one more launch of the run in a workspace, which takes the time of its own refusal."""
    run = StandInRun(workspace)
    run.command[1:3] = ["-c", ASKS_IN_TIME]
    return run


def asked_for_s(said: str) -> float:
    """Return the seconds that a launch waited for its refusal."""
    found = re.search(r"([\d.]+) s from asking to the end", said)
    assert found is not None, said
    return float(found[1])


@pytest.mark.fault(
    "one to three launches on other hosts, or in other containers of this one, of a shared disk (namespaces)",
    "refused within 2 s of asking, with pid and host of the first, whose processes they cannot see; it runs to its end",
    sample=1,
)
@pytest.mark.parametrize("containers", [False, True])
def test_launches_on_other_hosts_are_refused(
    containers: bool, chance: random.Random, notice: Notice, tmp_path: Path
) -> None:
    run = StandInRun(tmp_path)
    here = chance.choice((False, True))
    with running_on(() if here else on_host("node1", container=containers), run) as launch:
        holder = holder_of(run)
        assert holder.host == (os.uname().nodename if here else "node1")
        with at_rest(run), ExitStack() as stack:
            others = [
                stack.enter_context(asking(tmp_path).start(*on_host(f"node{2 + n}", container=containers)))
                for n in range(chance.randrange(1, 4))
            ]
            said = [other.communicate(timeout=LONGEST_S)[1] for other in others]
            assert launch.poll() is None
        for other, text in zip(others, said, strict=True):
            assert other.returncode == 2, text
            assert f"another launch writes there: pid {holder.pid} on host {holder.host}" in text
            notice.seconds.append(asked_for_s(text))
            assert notice.seconds[-1] <= REFUSED_S, text
        _, said_first = launch.communicate(timeout=LONGEST_S)
        assert launch.returncode == 0, said_first
    run.check_as_undisturbed()


@pytest.mark.fault(
    "four launches at once on four hosts of a shared disk (namespaces)", "one runs, three are refused", sample=1
)
def test_of_four_launches_on_four_hosts_one_runs(chance: random.Random, tmp_path: Path) -> None:
    run, hosts = StandInRun(tmp_path, {PAUSE: "0.5"}), {}
    with ExitStack() as stack:
        for number in range(4):
            hosts[f"node{number}"] = stack.enter_context(run.running(*on_host(f"node{number}"), start_new_session=True))
            time.sleep(chance.choice((0.0, chance.uniform(0.0, 0.2))))
        deadline = time.monotonic() + LONGEST_S
        while sum(launch.poll() is not None for launch in hosts.values()) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        [winner] = [name for name, launch in hosts.items() if launch.poll() is None]
        holder = holder_of(run)
        assert holder.host == winner
        said = {name: launch.communicate(timeout=LONGEST_S)[1] for name, launch in hosts.items()}
    assert {name: launch.returncode for name, launch in hosts.items()} == {
        name: 0 if name == winner else 2 for name in hosts
    }, said
    for name in set(hosts) - {winner}:
        assert re.search(rf"pid {holder.pid} on host {winner}|another launch is taking it", said[name]), said[name]
    run.check_as_undisturbed()


@pytest.mark.fault(
    "a launch lives on another host of a shared disk, for longer than a lock may be silent (namespaces; 3 s, not 180)",
    "its lock is never taken for stale",
    sample=1,
)
def test_a_launch_on_another_host_keeps_its_lock_as_long_as_it_lives(
    chance: random.Random, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "STALE_AFTER_S", SILENCE_S)
    run = StandInRun(tmp_path, {PAUSE: "60"})
    run.command[1:3] = ["-c", BEATS_OFTEN]
    with run.running(*on_host("node1"), start_new_session=True) as launch:
        while not (run.output / "config.yaml").exists():
            assert launch.poll() is None, launch.communicate()[1]
            time.sleep(0.01)
        asked_until = time.monotonic() + 2 * SILENCE_S
        while time.monotonic() < asked_until:
            with pytest.raises(ConfigurationError, match="on host node1"), lock.locked(run.output):
                pass
            time.sleep(chance.uniform(0.0, 0.2))
        assert launch.poll() is None
        lose(launch)
        with pytest.raises(ConfigurationError, match="on host node1"), lock.locked(run.output):
            pass
        time.sleep(SILENCE_S)
        with lock.locked(run.output):
            pass


@pytest.mark.fault(
    "a launcher killed on another host of a shared disk, or that host lost with all its processes (namespaces)",
    "its lock is refused until it was silent for 180 s (set back here); then the same command ends as undisturbed",
    sample=1,
)
def test_what_was_lost_with_another_host_is_let_go_after_its_silence(chance: random.Random, tmp_path: Path) -> None:
    run = StandInRun(tmp_path)
    with running_on(on_host("node1"), run) as host:
        holder, step = holder_of(run), chance.randrange(1, STEPS)
        while run.steps() < step:
            time.sleep(0.005)
        if chance.choice((True, False)):
            lose(host)
        else:
            [launcher] = psutil.Process(host.pid).children()[0].children()
            launcher.kill()
            run.wait_until_gone()
    status, said = asking(tmp_path).to_its_end(*on_host("node2"))
    assert status == 2, said
    assert f"pid {holder.pid} on host node1" in said
    assert f"delete {LOCK} there" in said
    os.utime(run.output / LOCK, (time.time() - STALE_AFTER_S - 1,) * 2)
    status, said = run.to_its_end(*on_host("node2"))
    assert status == 0, said
    run.check_as_undisturbed()
