"""The state that is told of each run of a sweep: from its launch or, where that was killed, without it."""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from trainers.configuration import ConfigurationError, Problem
from trainers.launch.end_record import END_FILE, EndRecord, last_error, read_end, record_end
from trainers.launch.outcome import told_end
from trainers.launch.supervise.interruption import PREEMPTED, Interrupted
from trainers.launch.sweep import __main__ as sweep
from trainers.launch.sweep.comparison import compare
from trainers.launch.sweep.outcomes import RunOutcome, begin, end_file, note_status, outcome_of
from trainers.launch.sweep.values import Run
from trainers.output.lock import locked
from trainers.serving.processes.server_group import ServerError


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of a sweep that was not started."""
    return Run((("seed", "1"),), tmp_path / "sweep" / "seed-1")


def test_a_run_is_told_by_what_it_left(run: Run) -> None:
    assert outcome_of(run) == RunOutcome("not started")
    with locked(run.output_dir):
        assert outcome_of(run) == RunOutcome("running")
        (run.output_dir / "metrics.jsonl").touch()
    assert outcome_of(run).state == "cut off"
    (run.output_dir / "finished.json").write_text("{}")
    assert outcome_of(run) == RunOutcome("finished")


@pytest.mark.parametrize(
    ("status", "state", "detail"),
    [
        (0, "finished", ""),
        (1, "failed", "status 1: the launch failed: see what it wrote"),
        (-9, "failed", "status -9: the launch was killed by SIGKILL"),
        (PREEMPTED, "stopped", "it was asked to end; the same command continues it"),
        (130, "stopped", "it was asked to end; the same command continues it"),
    ],
)
def test_a_launch_that_wrote_nothing_is_told_by_its_status(status: int, state: str, detail: str, run: Run) -> None:
    begin(run)
    note_status(run, status)
    assert (outcome_of(run).state, outcome_of(run).detail) == (state, detail)


def test_why_a_launch_ended_is_told_with_its_log(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(END_FILE, str(begin(run)))
    record_end(1, "ValueError: no\nsuch thing", Path("a/trainer.log"))
    note_status(run, 1)
    assert outcome_of(run) == RunOutcome("failed", "status 1: ValueError: no such thing (log: a/trainer.log)")
    # One that is refused, as another launch of the run works, is forgotten when that one ends.
    note_status(run, 0)
    assert outcome_of(run) == RunOutcome("finished")
    begin(run)
    assert outcome_of(run) == RunOutcome("not started")


@pytest.mark.parametrize(
    ("error", "record"),
    [
        (
            ConfigurationError([Problem("a=1", "expected 2", "write a=2")]),
            EndRecord(2, "a=1: expected 2. → write a=2"),
        ),
        (
            ServerError("Server student-0 ended with status 1.", Path("out/student-0.log"), "no memory"),
            EndRecord(3, "Server student-0 ended with status 1.", "out/student-0.log"),
        ),
        (ServerError("Port already in use"), EndRecord(3, "Port already in use")),
        (Interrupted(signal.SIGTERM), EndRecord(PREEMPTED, "stopped by SIGTERM")),
        (
            OSError(errno.ENOSPC, "No space left on device", "out/x"),
            EndRecord(5, "out/x could not be written (No space left on device). → free some space there"),
        ),
    ],
)
def test_what_ends_a_launch_is_written_down_for_whoever_asks(
    error: BaseException, record: EndRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_end(error)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv(END_FILE, str(tmp_path / "end.json"))
    told_end(error)
    assert read_end(tmp_path / "end.json") == record


def test_the_error_of_a_log_is_the_last_that_is_not_about_another_process() -> None:
    text = "KeyError: 'a'\n[rank0]: ValueError: bad optimizer\nsubprocess.CalledProcessError: Command [] returned 1.\n"
    assert last_error(text) == "ValueError: bad optimizer"
    assert last_error("torch.OutOfMemoryError: CUDA out of memory.") == "torch.OutOfMemoryError: CUDA out of memory."
    assert last_error("step 3/4  loss 2\nno Error here") is None


def test_a_record_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"status": 1')
    (tmp_path / "b").write_text(json.dumps({"other": 1}))
    assert [read_end(tmp_path / name) for name in "abc"] == [None, None, None]


def test_of_an_interrupted_sweep_the_table_is_written_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run ends, the second is stopped, and the third is not started."""

    def ends(run: Run, *_: object) -> int:
        begin(run)
        if run.values == (("seed", "2"),):
            note_status(run, PREEMPTED)
            raise Interrupted(signal.SIGTERM)
        note_status(run, 0)
        return 0

    monkeypatch.setattr(sweep, "launched", ends)
    command = ["--servers", "0", "--trainers", "1", "quickstart_sft", "seed=1,2,3", f"--output={tmp_path}"]
    assert sweep.main(command) == PREEMPTED
    states = [line.split("|")[1:3] for line in (tmp_path / "sweep.md").read_text().splitlines()[2:5]]
    assert states == [[" 1 ", " finished "], [" 2 ", " stopped "], [" 3 ", " not started "]]


def test_a_launch_that_is_killed_in_the_middle_is_told_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill the launcher itself, which can say nothing any more."""
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def asleep(command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        assert env[END_FILE] == str(end_file(run))
        started.append(popen(sleeper, env=env))
        return started[-1]

    def kill() -> None:
        while not started:
            time.sleep(0.01)
        os.kill(started[0].pid, signal.SIGKILL)

    monkeypatch.setattr(subprocess, "Popen", asleep)
    threading.Thread(target=kill, daemon=True).start()
    options = argparse.Namespace(servers=0, trainers=1, no_preflight=True)
    assert sweep.launched(run, ["quickstart_sft"], options) == -9
    assert outcome_of(run).detail == "status -9: the launch was killed by SIGKILL"


def test_tasks_that_may_share_a_node_have_ports_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(sweep, "launched", lambda run, fixed, options: seen.append(run.arguments(fixed)) or 0)
    monkeypatch.setattr(sweep, "detect", lambda: sweep.assume(8))
    asked = ["teacher_rcl", "vllm_port=9000", "seed=1,2,3", f"--output={tmp_path}"]
    for task in (0, 2):
        assert sweep.main(["--servers", "4", "--trainers", "4", *asked, "--only", str(task)]) == 0
    ports = [[word for word in words if word.startswith("vllm_port=")][-1] for words in seen]
    assert ports == ["vllm_port=9000", "vllm_port=9008"]


def test_the_table_fits_a_terminal_and_its_reasons_stay_whole(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    begin(run)
    note_status(run, 1)
    compare([run], run.output_dir.parent)
    assert re.search(r"^seed +state", capsys.readouterr().out, re.MULTILINE)
    assert (
        (run.output_dir.parent / "sweep.md")
        .read_text()
        .endswith("\n\n- seed=1 failed: status 1: the launch failed: see what it wrote\n")
    )
