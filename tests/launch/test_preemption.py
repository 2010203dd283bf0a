"""TERM and USR1: the trainer saves, the launch ends with a status of its own, and the same command goes on."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tests.launch.test_run import environment, read_pids, start, workspace
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.launch import running
from trainers.launch.plan import LaunchPlan, make_plan
from trainers.launch.supervise import preemption
from trainers.launch.supervise.interruption import (
    ONE_REQUEST_S,
    PREEMPTED,
    Interrupted,
    Request,
    deferring,
    interruptible,
)
from trainers.launch.supervise.preemption import made_room, make_room
from trainers.launch.supervise.process import Process
from trainers.output.checkpoints import newest_whole, step_of
from trainers.output.loading import LOADING
from trainers.output.lock import HELD_BY, locked
from trainers.serving.processes.command import Command

__all__ = ["environment", "workspace"]

MOMENTS, LATEST_S = 8, 1.5
STEPS, SAVED_EVERY = 1250, 50
"""A hundred steps take a second at least, so that a run is never over before it was disturbed so often."""
WHILE_TRAINING = 0.75
"""Share of the requests that come after the trainer has loaded, about; the others come at any moment before."""
MAKES_ROOM_ONCE = (
    "TERM twice within two seconds; twice with more between; Ctrl-C after TERM",
    "one request; an end at once",
)

TRAINER = """
import hashlib, json, sys, time
from pathlib import Path
from trainers.output.checkpoints import begin, finish, newest_whole
output, steps = Path(sys.argv[1]), int(sys.argv[2])
whole, _ = newest_whole(output)
step, state = json.loads((whole / "trainer_state.json").read_text()).values() if whole else (0, "")
(output / "loading").unlink()

def save():
    checkpoint = output / f"checkpoint-{step}"
    begin(checkpoint)
    time.sleep(0.01)
    (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": step, "state": state}))
    time.sleep(0.01)
    finish(checkpoint)

while step < steps:
    time.sleep(0.01)
    step, state = step + 1, hashlib.sha256(f"{state}{step + 1}".encode()).hexdigest()
    asked = (output / "stop").exists()
    if asked or step % 50 == 0:
        save()
    if asked and step < steps:
        (output / "stop").unlink()
        sys.exit(0)
(output / "state").write_text(state)
(output / "finished.json").write_text("{}")
"""
"""Steps, checkpoints and an end, as a training has them; its state after a step hangs on all steps before."""


def undisturbed(steps: int) -> str:
    state = ""
    for step in range(1, steps + 1):
        state = hashlib.sha256(f"{state}{step}".encode()).hexdigest()
    return state


@pytest.fixture
def plan(tmp_path: Path) -> LaunchPlan:
    """The plan of a GRPO run that may take two seconds to save, with nothing started."""
    keys = ["quickstart_rl", f"workspace={tmp_path}", "save_grace_s=2"]
    made = make_plan(compose(keys, Machine()).config, Machine(), 1, 1)
    made.output_dir.mkdir(parents=True)
    return made


class NoServers:
    """Servers that are up, and nothing else."""

    servers = ()

    def __enter__(self) -> NoServers:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def poll(self) -> None:
        """All work."""

    def in_use(self) -> tuple[()]:
        """None."""
        return ()


@pytest.fixture
def trains(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the launcher start some code in place of a trainer, and no servers."""

    def use(code: str, *arguments: object) -> None:
        command = Command((sys.executable, "-c", code, *map(str, arguments)), {})
        monkeypatch.setattr(running, "ServerGroup", lambda *_, **__: NoServers())
        monkeypatch.setattr(running, "Process", lambda *_: Process(command, "trainer"))

    return use


def launched(plan: LaunchPlan, signals: dict[float, signal.Signals], *, trains: bool = False) -> int:
    """Return the status of a launch that gets signals after so many seconds.

    Args:
        plan: what is launched.
        signals: what it gets, by seconds.
        trains: whether the seconds count from when the trainer has loaded.
    """
    over, loading = threading.Event(), plan.output_dir / LOADING

    def send() -> None:
        for there in (False, True) if trains else ():
            while loading.exists() is there and not over.wait(0.01):
                pass
        begun = time.monotonic()
        for after, number in sorted(signals.items()):
            if over.wait(begun + after - time.monotonic()):
                return
            os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        with interruptible():
            return running.run(plan)
    except Interrupted as error:
        return error.status
    finally:
        over.set()
        sender.join()


@pytest.mark.fault(
    "TERM or USR1 at any moment of a launch with a trainer that stands in, eight times",
    "status 75, every checkpoint whole, the chain of all steps the undisturbed one's, no process left",
    sample=1,
)
def test_a_run_that_makes_room_at_any_moment_ends_as_the_undisturbed_one(
    chance: random.Random, plan: LaunchPlan, trains: Callable[..., None]
) -> None:
    trains(TRAINER, plan.output_dir, STEPS)
    before, ends, loading_s = set(psutil.Process().children(recursive=True)), set(), seconds_to_load()
    for _ in range(MOMENTS):
        number = chance.choice([signal.SIGTERM, signal.SIGUSR1])
        loaded = chance.random() < WHILE_TRAINING
        moment = loading_s + chance.uniform(0.0, LATEST_S) if loaded else chance.uniform(0.0, loading_s)
        assert launched(plan, {moment: number}) == PREEMPTED
        newest, damaged = newest_whole(plan.output_dir)
        assert damaged == {}
        ends.add(step_of(newest) if newest else 0)
        assert list(plan.output_dir.glob("stop*")) == []
    # It saved where it was, and not where it would have anyway.
    assert any(step % SAVED_EVERY for step in ends)
    assert launched(plan, {}) == 0
    assert (plan.output_dir / "state").read_text() == undisturbed(STEPS)
    assert set(psutil.Process().children(recursive=True)) == before


def seconds_to_load() -> float:
    """Return how long the trainer takes now until it trains, at least."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", "import trainers.output.checkpoints"], check=True)
    return time.monotonic() - start


LONG_STEP = """
import sys, time
from pathlib import Path
from trainers.output.checkpoints import begin, finish
checkpoint = Path(sys.argv[1]) / "checkpoint-1"
begin(checkpoint)
(checkpoint / "trainer_state.json").write_text('{"global_step": 1}')
finish(checkpoint)
(Path(sys.argv[1]) / "loading").unlink()
time.sleep(600)
"""


@pytest.mark.fault("a step longer than the grace", "the last whole checkpoint stays and is named")
def test_a_step_that_takes_longer_than_the_grace_costs_itself_alone(
    plan: LaunchPlan, trains: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    trains(LONG_STEP, plan.output_dir)
    assert launched(plan, {0.2: signal.SIGTERM}, trains=True) == PREEMPTED
    said = {record.getMessage().partition(" ")[0]: record.created for record in caplog.records}
    assert said["made"] - said["SIGTERM:"] < 15
    assert "did not end within save_grace_s=2: what it had not saved is lost" in caplog.text
    assert f"the same command continues from {plan.output_dir}/checkpoint-1" in caplog.text


@pytest.mark.fault(*MAKES_ROOM_ONCE)
@pytest.mark.parametrize("again", [signal.SIGTERM, signal.SIGINT])
def test_a_second_request_ends_everything_at_once(
    again: signal.Signals, plan: LaunchPlan, trains: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Had it waited, the status would be another.
    config = plan.config.with_keys(save_grace_s=600)
    trains(LONG_STEP, plan.output_dir)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        signals = {0.2: signal.SIGTERM, 0.4: signal.SIGTERM, 0.7 + ONE_REQUEST_S: again}
        assert launched(LaunchPlan(**{**vars(plan), "config": config}), signals, trains=True) == 128 + again
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_warning_leaves_time_and_term_takes_it(
    plan: LaunchPlan, trains: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    trains(LONG_STEP, plan.output_dir)
    begun = time.monotonic()
    signals = {0.1: signal.SIGUSR1, 0.2: signal.SIGUSR1, 4.5: signal.SIGTERM}
    assert launched(plan, signals, trains=True) == PREEMPTED
    assert time.monotonic() - begun > 4.5 + 2
    assert "until TERM says that time is up" in caplog.text


@pytest.mark.fault("TERM or USR1 while a trainer loads", "an end at once, status 75, nothing left of it")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_trainer_that_has_trained_nothing_is_not_waited_for(
    number: signal.Signals, plan: LaunchPlan, trains: Callable[..., None]
) -> None:
    config = plan.config.with_keys(save_grace_s=600)
    trains("import time; time.sleep(600)")
    begun = time.monotonic()
    assert launched(LaunchPlan(**{**vars(plan), "config": config}), {1.0: number}) == PREEMPTED
    assert time.monotonic() - begun < 10
    assert psutil.Process().children(recursive=True) == []
    assert [path.name for path in plan.output_dir.iterdir()] == ["accelerate.yaml"]


def test_what_term_means_depends_on_what_was_heard() -> None:
    request = Request()
    assert not request.made
    assert not request.note(signal.SIGUSR1, 10.0)
    assert (request.made, request.urgent_for(500.0)) == (True, 0.0)
    # Slurm's, and the one that the batch script passes on.
    assert not request.note(signal.SIGTERM, 600.0)
    assert not request.note(signal.SIGTERM, 600.0 + ONE_REQUEST_S / 2)
    assert request.urgent_for(607.0) == 7.0
    assert not request.note(signal.SIGUSR1, 640.0)
    assert request.note(signal.SIGTERM, 640.0)
    assert request.signal is signal.SIGUSR1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_launch_that_has_nothing_to_save_ends_at_once_and_continues(number: signal.Signals) -> None:
    def launch() -> None:
        os.kill(os.getpid(), number)
        time.sleep(5)

    with pytest.raises(Interrupted) as raised, interruptible():
        launch()
    assert raised.value.status == PREEMPTED


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_what_nohup_ignores_stays_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with interruptible():
            os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_closed_terminal_and_ctrl_c_end_a_launch_that_does_not_ignore_them(
    number: signal.Signals, status: int
) -> None:
    def launch() -> None:
        os.kill(os.getpid(), number)
        time.sleep(5)

    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(Interrupted) as raised, interruptible():
            launch()
        assert raised.value.status == status
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_requests_that_are_ignored_stay_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with interruptible(), deferring() as request:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
        assert not request.made
    finally:
        signal.signal(signal.SIGTERM, before)


class Waiting:
    """A trainer that ends with status 0 once a file is there."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.seen: set[str] = set()

    def status(self, timeout_s: float) -> int | None:
        time.sleep(timeout_s)
        self.seen |= {path.name for path in self.file.parent.glob("stop*")}
        return 0 if self.file.exists() else None


def asked(number: signal.Signals) -> Request:
    request = Request()
    request.note(number, time.monotonic())
    return request


@pytest.mark.fault(
    "servers end under a request to make room, or time gets short, in a rollout",
    "the rollout is given up, and the last step saved (the trainer stands in)",
)
@pytest.mark.parametrize(
    ("number", "dies", "gives_up"),
    [(signal.SIGUSR1, False, False), (signal.SIGUSR1, True, True), (signal.SIGTERM, False, True)],
)
def test_a_rollout_is_given_up_when_time_is_short_or_servers_end(
    number: signal.Signals, dies: bool, gives_up: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preemption, "LOOK_EVERY_S", 0.02)
    trainer = Waiting(tmp_path / ("stop_rollout" if gives_up else "saved"))
    looks = iter([None, 143 if dies else None])
    threading.Timer(0.5, (tmp_path / "saved").touch).start()
    server = SimpleNamespace(exit_status=lambda: next(looks, 143 if dies else None))
    assert make_room(tmp_path, trainer, [server], asked(number), 1.0) == 0
    assert trainer.seen == ({"stop", "stop_rollout"} if gives_up else {"stop"})
    time.sleep(0.6)
    assert list(tmp_path.glob("stop*")) == []


class Preempted(Waiting):
    """A trainer that ends once its rollout is given up, beside which a signal reaches all processes at once."""

    said_something = True

    def __init__(self, output_dir: Path, request: Request) -> None:
        super().__init__(output_dir / "stop_rollout")
        self._request = request

    def status(self, timeout_s: float) -> int | None:
        if self._request.made:
            return super().status(timeout_s)
        self._request.note(signal.SIGTERM, time.monotonic())
        return None


def test_servers_that_end_by_the_signal_are_not_restarted_and_a_rollout_is_given_up(plan: LaunchPlan) -> None:
    polled: list[str] = []
    ended = SimpleNamespace(exit_status=lambda: 0)
    servers: Any = SimpleNamespace(poll=lambda: polled.append("restarted"), in_use=lambda: (ended,))
    request = Request()
    trainer: Any = Preempted(plan.output_dir, request)
    began = time.monotonic()
    assert running.watched(plan, servers, trainer, request) == 0
    assert polled == []
    # Half of the grace would have passed before.
    assert time.monotonic() - began < 1


def test_a_launch_that_lost_its_directory_to_another_does_not_save_there(tmp_path: Path) -> None:
    with locked(tmp_path):
        mine = os.environ[HELD_BY]
        record = json.loads((tmp_path / "run.lock").read_text())
        (tmp_path / "run.lock").write_text(json.dumps(record | {"token": "another"}))
        with pytest.raises(Interrupted) as raised, interruptible():
            make_room(tmp_path, Waiting(tmp_path / "never"), [], asked(signal.SIGTERM), 1.0)
        assert raised.value.status == 128 + signal.SIGTERM
        assert not (tmp_path / "stop").exists()
        (tmp_path / "run.lock").write_text(json.dumps(record | {"token": mine}))


@pytest.mark.parametrize(
    ("status", "finished", "ends", "says"),
    [
        (0, True, 0, "finished all the same"),
        (0, False, PREEMPTED, "starts anew: there is no whole checkpoint yet"),
        (1, False, PREEMPTED, "failed with status 1 instead of saving"),
        (None, False, PREEMPTED, "did not end within save_grace_s=25"),
    ],
)
def test_what_is_left_is_said(
    status: int | None, finished: bool, ends: int, says: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    if finished:
        (tmp_path / "finished.json").write_text("{}")
    assert made_room(tmp_path, status, 25) == ends
    assert says in caplog.text


OUTLASTING = """
import os, subprocess, sys, time
from pathlib import Path
RANK = '''
import os, sys, time
from pathlib import Path
from trainers.launch.supervise.interruption import outlast_requests
from trainers.output.loading import has_loaded
outlast_requests()
has_loaded()
output = Path(os.environ["STAND_IN_OUTPUT"])
Path(os.environ["STAND_IN_PIDS"]).write_text(f"{os.getppid()} {os.getpid()}")
while not (output / "stop").exists():
    time.sleep(0.05)
time.sleep(1)
(output / "checkpoint-1").mkdir()
(output / "checkpoint-1" / "trainer_state.json").write_text('{"global_step": 1}')
'''

def main():
    subprocess.run([sys.executable, "-c", RANK], start_new_session=True, check=True)
"""


@pytest.mark.fault("TERM or USR1 to every process of a launch", "agent and ranks go on and save, status 75")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_every_process_of_a_job_leaves_time_to_save(
    number: signal.Signals, workspace: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "shim/accelerate/commands/launch.py").write_text(OUTLASTING)
    process = start(workspace, environment, "0")
    try:
        read_pids(Path(environment["STAND_IN_PIDS"]))
        for member in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            member.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == PREEMPTED, errors
    assert (workspace / "sft/checkpoint-1/trainer_state.json").exists()


def test_what_a_rank_starts_or_forks_ends_by_term() -> None:
    code = """
import multiprocessing, os, signal, subprocess, sys, time
from trainers.launch.supervise.interruption import outlast_requests
from trainers.training.requests_heard import request_heard
outlast_requests()
assert not request_heard()
os.kill(os.getpid(), signal.SIGTERM)
assert request_heard()
forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
forked.start()
started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(0.5)
forked.terminate(), started.terminate()
forked.join(10)
print(forked.exitcode, started.wait(10))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["-15", "-15"]
