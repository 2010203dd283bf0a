"""One launch at a time writes into an output directory; the others are told who does."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import train
from tests.support.fault_runs import Notice
from trainers.configuration import ConfigurationError
from trainers.launch import __main__ as launcher
from trainers.launch.sweep import __main__ as sweep
from trainers.output import lock
from trainers.output.lock import HELD_BY, LOCK, STALE_AFTER_S, is_gone, locked, this_process
from trainers.paths import ROOT

HOLDS = """
import sys, time
from trainers.output.lock import locked
with locked({directory!r}):
    print("held", flush=True)
    {then}
"""

QUEUED_AGAIN = (
    "a job that was queued again finds the lock of a lost node (a record of such a host stands in)",
    "waits until it is silent, is refused where it is not",
)


def holding(directory: Path, then: str = "time.sleep(600)") -> subprocess.Popen[str]:
    """Return a process that asks for the lock, and then does something."""
    code = HOLDS.format(directory=str(directory), then=then)
    environment = {name: value for name, value in os.environ.items() if name != HELD_BY} | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@contextmanager
def held(directory: Path, then: str = "time.sleep(600)") -> Iterator[subprocess.Popen[str]]:
    """Have another process hold the lock."""
    with holding(directory, then) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n", other.stderr and other.stderr.read()
            yield other
        finally:
            other.kill()


@pytest.mark.fault(
    "a second launch, `train.py`, evaluation or sweep into the same directory",
    "refused within 2 s of asking, with pid and host of the first",
)
def test_the_second_launch_is_refused_at_once_with_pid_and_host(
    chance: random.Random, notice: Notice, tmp_path: Path
) -> None:
    with held(tmp_path) as other:
        time.sleep(chance.uniform(0.0, 0.2))
        with notice.within(2.0), pytest.raises(ConfigurationError) as refusal, locked(tmp_path):
            pass
        assert f"another launch writes there: pid {other.pid} on host {socket.gethostname()}" in str(refusal.value)
        assert "stop that launch" in str(refusal.value)


@pytest.mark.fault(
    "a second launch, `train.py`, evaluation or sweep into the same directory",
    "refused within 2 s of asking, with pid and host of the first",
)
@pytest.mark.parametrize("program", ["launcher", "train", "evaluation", "sweep"])
def test_every_way_to_start_a_run_asks_for_the_lock(
    program: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "sft"
    arguments = ["quickstart_sft", f"workspace={tmp_path}"]
    starts = {
        "launcher": lambda: launcher.main(["--servers", "0", "--trainers", "1", *arguments]),
        "train": lambda: train.main(["run@_global_=quickstart_sft", f"workspace={tmp_path}"]),
        "evaluation": lambda: launcher.main(
            ["--servers", "1", "--trainers", "0", "evaluate", "teacher=t", f"output_dir={run}"]
        ),
        "sweep": lambda: sweep.main(
            ["--servers", "0", "--trainers", "1", "--output", str(run), *arguments, "learning_rate=0.1,0.2"]
        ),
    }
    with held(run) as other:
        assert starts[program]() == 2
    assert f"pid {other.pid} on host" in capsys.readouterr().err


@pytest.mark.fault("four launches at once", "one runs, three are refused", sample=3)
def test_of_four_launches_at_once_one_runs(chance: random.Random, tmp_path: Path) -> None:
    directory, launches = tmp_path / "run", []
    for _ in range(4):
        launches.append(holding(directory, "sys.stdin.read()"))
        time.sleep(chance.choice((0.0, chance.uniform(0.0, 0.1))))
    deadline = time.monotonic() + 120
    while sum(launch.poll() is not None for launch in launches) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    said = [launch.communicate(timeout=120) for launch in launches]
    assert sorted(launch.returncode for launch in launches) == [0, 1, 1, 1], said
    assert not directory.exists()


def test_no_two_launches_decide_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = lock._write

    def slowly(file: int, holder: lock.Holder) -> None:
        time.sleep(0.3)
        write(file, holder)

    monkeypatch.setattr(lock, "_write", slowly)
    monkeypatch.setattr(lock, "DECIDING_S", 20.0)
    outcomes: list[bool] = []

    def ask() -> None:
        try:
            outcomes.append(lock._take(tmp_path, this_process()))
        except ConfigurationError:
            outcomes.append(False)

    launches = [threading.Thread(target=ask) for _ in range(4)]
    for launch in launches:
        launch.start()
    for launch in launches:
        launch.join()
    assert sorted(outcomes) == [False, False, False, True]


@pytest.mark.fault("the holder of a directory's lock killed", "its lock counts for nothing")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_launch_that_was_killed_holds_nothing(end: signal.Signals, tmp_path: Path) -> None:
    with held(tmp_path) as other:
        other.send_signal(end)
        other.wait()
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


@pytest.mark.fault("a killed launch whose processes still run", "they are waited for, and named if they stay")
def test_what_a_killed_launch_left_running_is_waited_for(tmp_path: Path) -> None:
    left = "import subprocess; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid)"
    with held(tmp_path, f"{left}; sys.stdout.flush(); time.sleep(600)") as other:
        assert other.stdout is not None
        orphan = int(other.stdout.readline())
        other.kill()
        other.wait()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lock, "ENDING_S", 0.5)
            with pytest.raises(ConfigurationError, match=f"killed still run: \\[{orphan}\\]"), locked(tmp_path):
                pass
        os.kill(orphan, signal.SIGKILL)
        with locked(tmp_path):
            pass


def test_the_processes_of_a_launch_are_let_in(tmp_path: Path) -> None:
    with locked(tmp_path), locked(tmp_path):
        assert HELD_BY in os.environ
    assert HELD_BY not in os.environ
    assert not (tmp_path / LOCK).exists()


def test_a_holder_is_judged_by_its_process_or_by_its_silence() -> None:
    mine = this_process()
    assert not is_gone(mine, mine.place, silent_s=1e6)
    # Another process has its number now.
    assert is_gone(replace(mine, started=mine.started - 1), mine.place, silent_s=0.0)
    elsewhere = replace(mine, place="another boot")
    assert not is_gone(elsewhere, mine.place, silent_s=STALE_AFTER_S - 1)
    assert is_gone(elsewhere, mine.place, silent_s=STALE_AFTER_S + 1)


@pytest.mark.fault(
    "a launch on another host of a shared disk (a record of such a host stands in)",
    "refused while it touches its lock, let in after 180 s of silence by the clock of the disk",
)
@pytest.mark.parametrize(("silent_s", "refused"), [(STALE_AFTER_S / 2, True), (2 * STALE_AFTER_S, False)])
def test_a_launch_on_another_host_lives_as_long_as_it_touches_its_lock(
    silent_s: float, refused: bool, tmp_path: Path
) -> None:
    other = replace(this_process(), place="another boot", host="node7", pid=99)
    (tmp_path / LOCK).write_text(json.dumps(asdict(other)))
    os.utime(tmp_path / LOCK, (time.time() - silent_s,) * 2)
    if refused:
        with pytest.raises(ConfigurationError, match="pid 99 on host node7"), locked(tmp_path):
            pass
    else:
        with locked(tmp_path):
            pass


@pytest.mark.fault("a lock that another launch has overwritten", "its first holder ends itself")
def test_a_lock_is_touched_and_one_that_was_taken_over_ends_its_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.05)
    ended: list[int] = []
    monkeypatch.setattr(lock.os, "kill", lambda pid, number: ended.append(number))
    with locked(tmp_path):
        os.utime(tmp_path / LOCK, (0, 0))
        time.sleep(0.5)
        assert (tmp_path / LOCK).stat().st_mtime > 0
        assert ended == []
        (tmp_path / LOCK).write_text(json.dumps(asdict(replace(this_process(), token="other"))))
        time.sleep(0.5)
    assert ended == [signal.SIGTERM]
    assert (tmp_path / LOCK).exists()


@pytest.mark.fault(*QUEUED_AGAIN)
def test_a_job_that_was_queued_again_waits_for_the_lock_of_a_lost_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lock, "STALE_AFTER_S", 2.0)
    monkeypatch.setattr(lock, "HEARTBEAT_S", 30.0)
    other = json.dumps(asdict(replace(this_process(), place="another boot", host="node7", pid=99)))
    (tmp_path / LOCK).write_text(other)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    with pytest.raises(ConfigurationError, match="pid 99 on host node7"), locked(tmp_path):
        pass
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    (tmp_path / LOCK).write_text(other)
    with locked(tmp_path):
        assert not lock.is_lost(tmp_path)
        assert "waiting for pid 99 on host node7" in caplog.text
        (tmp_path / LOCK).write_text(other)
        assert lock.is_lost(tmp_path)


@pytest.mark.fault(*QUEUED_AGAIN)
def test_a_job_that_was_queued_again_does_not_wait_for_one_that_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "STALE_AFTER_S", 0.6)
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(lock, "_silence", lambda *_: 0.0)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    (tmp_path / LOCK).write_text(json.dumps(asdict(replace(this_process(), place="another boot", host="node7"))))
    with pytest.raises(ConfigurationError, match="on host node7"), locked(tmp_path):
        pass


@pytest.mark.parametrize("torn", [b"", b'{"pid": 1', b"\0\0\0"])
def test_a_torn_lock_holds_nothing(torn: bytes, tmp_path: Path) -> None:
    (tmp_path / LOCK).write_bytes(torn)
    with locked(tmp_path):
        pass


def test_a_directory_that_was_not_there_leaves_no_trace(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "run"):
        assert (tmp_path / "a" / "run" / LOCK).exists()
    assert not (tmp_path / "a" / "run").exists()
