"""Launchers on several hosts, real ones, around a stand-in for accelerate: how they meet, fail and end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support.free_ports import consecutive_free_ports
from tests.support.host_launches import HostLaunches
from trainers.launch.hosts.endings import HOST_LOST
from trainers.launch.supervise.interruption import PREEMPTED
from trainers.launch.together import LEAVING_S

# ENDS: by host, a status and seconds; the first host's ends the training well with status 0.
STAND_IN = """
import os, subprocess, sys, time
from pathlib import Path
from trainers.output.loading import has_loaded

def main():
    place, output = os.environ["NODE_RANK"], Path(os.environ["OUTPUT"])
    if "LOADS" not in os.environ:
        has_loaded()
    sys.stderr.write(f"program with {sys.argv[2]}\\n")
    sys.stderr.flush()
    status, seconds = dict(entry.split("=") for entry in os.environ["ENDS"].split())[place].split(",")
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    deadline = time.monotonic() + float(seconds)
    while time.monotonic() < deadline and not (output / "stop").exists():
        time.sleep(0.02)
    if time.monotonic() < deadline:
        time.sleep(0.5)
        sys.exit(0)
    if place == "0" and status == "0":
        time.sleep(0.5)
        (output / "finished.json").write_text("{}")
    sys.exit(int(status))
"""


@pytest.fixture
def sft(tmp_path: Path) -> Callable[..., HostLaunches]:
    """Return a function that makes a run of two training processes over hosts, into `workspace/sft`."""
    world = tmp_path / "workspace" / "world"
    (world / "teacher_base").mkdir(parents=True)
    (world / "teacher_base" / "config.json").write_text("{}")
    for name in ("sft.jsonl", "world.json"):
        (world / name).write_text("{}\n")
    package = tmp_path / "shim" / "accelerate" / "commands"
    package.mkdir(parents=True)
    for directory in (package, package.parent):
        (directory / "__init__.py").touch()
    (package / "launch.py").write_text(STAND_IN)

    def made(ends: str, number: int = 2, *words: str, **seconds: float) -> HostLaunches:
        arguments = ["--servers", "0", "--trainers", str(number), "quickstart_sft", f"workspace={tmp_path}/workspace"]
        environment = {"PYTHONPATH": f"{tmp_path}/shim", "ENDS": ends, "OUTPUT": f"{tmp_path}/workspace/sft"}
        words = (*arguments, "--no-preflight", *words)
        port = consecutive_free_ports(1)
        return HostLaunches(number, words, tmp_path / "logs", port, environment, **seconds)

    return made


def nothing_left(run: HostLaunches, *places: int) -> bool:
    deadline = time.monotonic() + 15
    while any(run.processes(place) for place in places) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(run.processes(place) for place in places)


def test_two_hosts_train_and_end_well(sft, tmp_path: Path) -> None:
    run, output = sft("0=0,0.5 1=0,0"), tmp_path / "workspace" / "sft"
    run.start(0, 1)
    run.wait_for(0, "waiting for 1 other hosts")
    assert (output / "run.token").stat().st_mode & 0o777 == 0o600
    token = (output / "run.token").read_text()
    assert run.statuses() == [0, 0], run.said(0) + run.said(1)
    settings = [
        yaml.safe_load((output / name).read_text()) for name in ("accelerate.yaml", "accelerate-127.0.0.3.yaml")
    ]
    assert [(each["num_machines"], each["machine_rank"], each["num_processes"]) for each in settings] == [
        (2, 0, 2),
        (2, 1, 2),
    ]
    assert {each["main_process_ip"] for each in settings} == {"127.0.0.2"}
    assert len({each["main_process_port"] for each in settings}) == 1
    assert (output / "trainer-127.0.0.3.log").exists()
    # The secret is gone, and stands in nothing that was written.
    assert not (output / "run.token").exists()
    assert [path for path in [*output.rglob("*"), *run.logs] if path.is_file() and token in path.read_text()] == []


@pytest.mark.parametrize("place", [0, 1])
def test_a_failure_ends_all_hosts_by_its_name(sft, place: int) -> None:
    ends = {place: "7,1", 1 - place: "0,300"}
    run = sft(" ".join(f"{host}={how}" for host, how in ends.items()))
    run.start(0, 1)
    assert run.statuses() == [7, 7], run.said(0) + run.said(1)
    reason = f"the run ended by host 127.0.0.{2 + place}: its part of the training or evaluation failed with status 7"
    assert [line.endswith(reason) for line in run.last_lines()] == [True, True]
    assert nothing_left(run, 0, 1)


@pytest.mark.parametrize("place", [0, 1])
def test_a_lost_host_ends_the_others_by_its_name(sft, place: int) -> None:
    run = sft("0=0,300 1=0,300", silent_s=3)
    run.start(0, 1)
    for each in (0, 1):
        run.wait_for(each, "program with")
    began = time.monotonic()
    run.kill(place)
    statuses = run.statuses()
    assert statuses[1 - place] == HOST_LOST
    assert time.monotonic() - began < 3 + 25
    assert f"the run ended by host 127.0.0.{2 + place}: nothing was heard of it" in run.last_lines()[1 - place]
    assert nothing_left(run, 0, 1)


def test_a_request_at_one_host_makes_room_on_all(sft) -> None:
    run = sft("0=0,300 1=0,300")
    run.start(0, 1)
    for each in (0, 1):
        run.wait_for(each, "program with")
    run.hosts[1].send_signal(signal.SIGUSR1)
    assert run.statuses() == [PREEMPTED, PREEMPTED], run.said(0) + run.said(1)
    assert "made room (status 75)" in run.said(0)
    assert nothing_left(run, 0, 1)


def test_a_request_at_one_host_while_all_load_ends_all_at_once(sft) -> None:
    run = sft("0=0,300 1=0,300")
    run.start(0, 1, environment={"LOADS": "1"})
    for each in (0, 1):
        run.wait_for(each, "program with")
    run.hosts[1].send_signal(signal.SIGTERM)
    assert run.statuses() == [PREEMPTED, PREEMPTED], run.said(0) + run.said(1)
    assert "made room" not in run.said(0) + run.said(1)
    assert nothing_left(run, 0, 1)


def test_an_interrupted_host_ends_the_others(sft) -> None:
    run = sft("0=0,300 1=0,300")
    run.start(0, 1)
    run.wait_for(1, "program with")
    run.hosts[0].send_signal(signal.SIGINT)
    assert run.statuses() == [130, 130], run.said(0) + run.said(1)
    assert run.last_lines()[1].endswith("the run ended by host 127.0.0.2: it was stopped by SIGINT")


def test_a_host_that_does_not_come_is_named(sft) -> None:
    run = sft("0=0,0 1=0,0 2=0,0", 3, "train_batch_size=96", coming_s=8)
    run.start(0, 2)
    assert run.statuses() == [2, 2]
    assert "host 127.0.0.3: it did not come within 8 s" in run.said(0)
    assert "127.0.0.3" in run.last_lines()[1]


def test_a_first_host_that_does_not_come_is_named(sft) -> None:
    run = sft("0=0,0 1=0,0", coming_s=3)
    run.start(1)
    assert run.statuses() == [2]
    assert "host 127.0.0.2: it does not answer at http://127.0.0.2:" in run.said(1)


def test_a_first_host_that_waits_for_the_lock_of_a_lost_one_is_waited_for(sft) -> None:
    """Slurm starts a job again while the lock of its lost node looks alive, for which the first host alone waits."""
    run = sft("0=0,0 1=0,0", coming_s=2)
    again = {"SLURM_RESTART_COUNT": "1"}
    run.start(1, environment=again)
    time.sleep(6)
    assert run.hosts[1].poll() is None, run.said(1)
    run.start(0, environment=again)
    assert run.statuses() == [0, 0], run.said(0) + run.said(1)


def test_hosts_with_other_arguments_are_told_before_anything_starts(sft) -> None:
    run = sft("0=0,0 1=0,0")
    run.start(0)
    run.start(1, more=["learning_rate=0.5"])
    assert run.statuses() == [2, 2]
    assert "127.0.0.3: keys: not those of 127.0.0.2: learning_rate" in run.said(0)
    assert "program with" not in run.said(0) + run.said(1)


def test_a_directory_that_is_not_shared_is_told(sft, tmp_path: Path) -> None:
    run = sft("0=0,0 1=0,0", seen_s=2, silent_s=120)
    run.start(0)
    run.wait_for(0, "waiting for 1 other hosts")
    run.start(1, more=[f"output_dir={tmp_path}/elsewhere"])
    run.hosts[1].wait(60)
    assert "they do not share the directory" in run.said(1)
    run.hosts[0].send_signal(signal.SIGINT)
    assert run.statuses() == [130, 2]


def test_a_first_host_does_not_wait_for_one_that_shares_the_token_and_no_directory(sft, tmp_path: Path) -> None:
    run = sft("0=0,0 1=0,0", seen_s=2, silent_s=120)
    token = {"ATLAS_RUN_TOKEN": "of-both"}
    run.start(0, environment=token)
    run.wait_for(0, "waiting for 1 other hosts")
    run.start(1, more=[f"output_dir={tmp_path}/elsewhere"], environment=token)
    run.hosts[1].wait(60)
    left = time.monotonic()
    assert run.statuses(60) == [2, 2]
    assert time.monotonic() - left < LEAVING_S / 2, "the first host waited for one that had left"
    assert "the run ended by host 127.0.0.3: output_dir=" in run.last_lines()[0]
    assert "they do not share the directory" in run.last_lines()[0]


def test_another_token_is_refused_by_name(sft) -> None:
    run = sft("0=0,0 1=0,0", seen_s=2, silent_s=120)
    run.start(0)
    run.wait_for(0, "waiting for 1 other hosts")
    run.start(1, environment={"ATLAS_RUN_TOKEN": "of-another-run"})
    run.hosts[1].wait(60)
    assert "the first host asks for another token (401)" in run.said(1)
    run.hosts[0].send_signal(signal.SIGINT)
    assert run.statuses() == [130, 2]
