"""Starting, watching and stopping: a real launcher around a stand-in for accelerate, and stand-ins for servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import yaml

from tests.support.stand_in_runs import LONGEST_S
from trainers.configuration import compose, save
from trainers.configuration.devices.machine import Machine
from trainers.launch import __main__ as launcher
from trainers.launch import running
from trainers.launch.plan import ROOT, make_plan
from trainers.launch.supervise.process import Process
from trainers.serving.processes.command import Command
from trainers.serving.processes.server_group import ServerError

STAND_IN = """
import os, subprocess, sys, time
from pathlib import Path
behaviour, pids = os.environ["STAND_IN"], Path(os.environ["STAND_IN_PIDS"])

def main():
    if behaviour.isdigit():
        print("arguments", *sys.argv[1:])
        if behaviour == "0":
            (Path(os.environ["STAND_IN_OUTPUT"]) / "finished.json").write_text("{}")
        sys.exit(int(behaviour))
    rank = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    pids.write_text(f"{os.getpid()} {rank.pid}")
    time.sleep(600)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A complete-looking world, so that only the trainer is a stand-in."""
    world = tmp_path / "work" / "world"
    (world / "teacher_base").mkdir(parents=True)
    (world / "teacher_base" / "config.json").write_text("{}", encoding="utf-8")
    for name in ("sft.jsonl", "world.json"):
        (world / name).write_text("{}\n", encoding="utf-8")
    return world.parent


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which `accelerate.commands.launch` is `STAND_IN`."""
    package = tmp_path / "shim" / "accelerate" / "commands"
    package.mkdir(parents=True)
    for directory in (package, package.parent):
        (directory / "__init__.py").touch()
    (package / "launch.py").write_text(STAND_IN, encoding="utf-8")
    return {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "shim"),
        "STAND_IN_PIDS": str(tmp_path / "pids"),
        "CUDA_VISIBLE_DEVICES": "",
    }


def start(workspace: Path, environment: dict[str, str], behaviour: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(ROOT / "scripts" / "launch.sh"), "1", "quickstart_sft", f"workspace={workspace}", "--no-preflight", *more],
        env={**environment, "STAND_IN": behaviour, "STAND_IN_OUTPUT": str(workspace / "sft")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=workspace,
        # A test run in the background is started with SIGINT ignored, and a launch respects what is ignored.
        preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGHUP)],
    )


@pytest.mark.parametrize("status", [0, 7])
def test_the_trainers_status_and_output_are_passed_on(
    workspace: Path, environment: dict[str, str], status: int
) -> None:
    process = start(workspace, environment, str(status), "max_steps=77")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert f"--config-path={workspace}/sft --config-name=config" in output
    assert yaml.safe_load((workspace / "sft" / "config.yaml").read_text())["max_steps"] == 77


def test_the_accelerate_file_is_that_of_the_stage_with_this_runs_processes(
    workspace: Path, environment: dict[str, str]
) -> None:
    start(workspace, environment, "0", "zero3").communicate(timeout=60)
    settings = yaml.safe_load((workspace / "sft" / "accelerate.yaml").read_text())
    assert settings["deepspeed_config"]["zero_stage"] == 3
    assert settings["deepspeed_config"]["gradient_accumulation_steps"] == 1
    assert (settings["distributed_type"], settings["use_cpu"], settings["num_processes"]) == ("DEEPSPEED", True, 1)


def read_pids(path: Path) -> list[int]:
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        if path.exists() and len(path.read_text().split()) == 2:
            return [int(pid) for pid in path.read_text().split()]
        time.sleep(0.05)
    raise AssertionError("the stand-in did not start")


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_stop_the_trainer_and_its_ranks(
    workspace: Path, environment: dict[str, str], number: signal.Signals
) -> None:
    process = start(workspace, environment, "sleep")
    pids = read_pids(Path(environment["STAND_IN_PIDS"]))
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert number.name in errors
    assert [pid for pid in pids if not is_gone(pid)] == []


def test_a_killed_launcher_leaves_no_trainer(workspace: Path, environment: dict[str, str]) -> None:
    process = start(workspace, environment, "sleep")
    head, rank = read_pids(Path(environment["STAND_IN_PIDS"]))
    process.kill()
    process.wait(timeout=60)
    deadline = time.monotonic() + 30
    while not (is_gone(head) and is_gone(rank)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [pid for pid in (head, rank) if not is_gone(pid)] == []


def test_a_finished_run_is_reported_and_starts_nothing(workspace: Path, environment: dict[str, str]) -> None:
    start(workspace, environment, "0").communicate(timeout=60)
    (workspace / "sft" / "finished.json").write_text("{}", encoding="utf-8")
    process = start(workspace, environment, "7")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "this run is complete" in errors


def test_a_dry_run_says_what_becomes_of_earlier_output(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launcher, "detect", Machine)
    recipe = ["quickstart_sft", f"workspace={workspace}"]
    arguments = ["--servers", "0", "--trainers", "1", *recipe, "--no-preflight", "--dry-run"]
    assert launcher.main(arguments) == 0
    assert f"{workspace}/sft: a new run" in capsys.readouterr().out
    config = compose(recipe, Machine(), 1).config
    save(config.with_keys(learning_rate=0.5))
    (workspace / "sft" / "finished.json").write_text("{}", encoding="utf-8")
    assert launcher.main(arguments) == 2
    assert "it holds another run, which differs in learning_rate" in capsys.readouterr().err
    save(config)
    assert launcher.main(arguments) == 0
    assert f"{workspace}/sft: this run is complete" in capsys.readouterr().out


class FakeServers:
    """Servers that are up, until `polls` looks later one is dead."""

    def __init__(self, polls: int) -> None:
        self.servers: tuple = ()
        self.left = polls
        self.stopped = False

    def __enter__(self) -> FakeServers:
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped = True

    def check(self) -> None:
        self.poll()

    def poll(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise ServerError("Server student-0 ended with status 1.", Path("student-0.log"), "out of memory")


@pytest.fixture
def plan(tmp_path: Path):
    composition = compose(["quickstart_rl", f"workspace={tmp_path}"], Machine())
    made = make_plan(composition.config, Machine(), 1, 1)
    made.output_dir.mkdir(parents=True)
    return made


def test_a_dead_server_stops_a_trainer_that_does_not_end(plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    servers, pid_file = FakeServers(polls=3), tmp_path / "pid"
    code = f"import os, pathlib, time; pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid())); time.sleep(600)"
    endless = Command((sys.executable, "-c", code), {})
    monkeypatch.setattr(running, "ServerGroup", lambda *_, **__: servers)
    monkeypatch.setattr(running, "Process", lambda *_: Process(endless, "trainer"))
    monkeypatch.setattr(running, "SAVING_GRACE_S", 0.5)
    with pytest.raises(ServerError, match="out of memory"):
        running.run(plan)
    assert servers.stopped
    assert is_gone(int(pid_file.read_text()))
    assert not (plan.output_dir / "stop").exists()


SAVING = """
import pathlib, time
output = pathlib.Path({output!r})
(output / "loading").unlink()
while not (output / "stop").is_file() or not (reason := (output / "stop").read_text()):
    time.sleep(0.05)
(output / "checkpoint-3").mkdir()
(output / "checkpoint-3" / "trainer_state.json").write_text('{{"global_step": 3}}')
(output / "checkpoint-3" / "reason").write_text(reason)
if {finishes}:
    (output / "finished.json").write_text("{{}}")
"""


@pytest.mark.parametrize("finishes", [False, True])
def test_a_trainer_that_lost_a_server_is_asked_to_save(
    finishes, plan, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    servers = FakeServers(polls=3)
    code = SAVING.format(output=str(plan.output_dir), finishes=finishes)
    monkeypatch.setattr(running, "ServerGroup", lambda *_, **__: servers)
    monkeypatch.setattr(running, "Process", lambda *_: Process(Command((sys.executable, "-c", code), {}), "trainer"))
    if finishes:
        assert running.run(plan) == 0
    else:
        with pytest.raises(ServerError, match="out of memory"):
            running.run(plan)
    reason = (plan.output_dir / "checkpoint-3" / "reason").read_text()
    assert reason == "Server student-0 ended with status 1."
    assert servers.stopped
    assert not (plan.output_dir / "stop").exists()
    told = f"the same command continues from {plan.output_dir / 'checkpoint-3'}"
    assert (told in caplog.text) is not finishes


@pytest.mark.parametrize("recipe", ["evaluate", "quickstart_sft"])
def test_nothing_but_grpo_is_waited_for(recipe, plan, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose([recipe, f"output_dir={plan.output_dir}"], Machine()).config
    endless = Command((sys.executable, "-c", "import time; time.sleep(600)"), {})
    monkeypatch.setattr(running, "ServerGroup", lambda *_, **__: FakeServers(polls=1))
    monkeypatch.setattr(running, "Process", lambda *_: Process(endless, "trainer"))
    with pytest.raises(ServerError, match="out of memory"):
        running.run(replace(plan, config=config))
    assert not (plan.output_dir / "stop").exists()


def test_servers_are_stopped_when_the_trainer_has_failed(plan, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = FakeServers(polls=1000)
    failing = Command((sys.executable, "-c", "raise SystemExit(5)"), {})
    monkeypatch.setattr(running, "ServerGroup", lambda *_, **__: servers)
    monkeypatch.setattr(running, "Process", lambda *_: Process(failing, "trainer"))
    assert running.run(plan) == 5
    assert servers.stopped


@pytest.fixture
def listener() -> Iterator[int]:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_port_in_use_is_named_before_anything_starts(listener: int, tmp_path: Path) -> None:
    from trainers.launch.checks.preflight import check_surroundings

    config = compose(["quickstart_rl", f"workspace={tmp_path}", f"vllm_port={listener}"], Machine()).config
    found = {problem.given: problem for problem in check_surroundings(make_plan(config, Machine(), 1, 1))}
    problem = found[f"vllm_port={listener}"]
    assert f"already in use: {listener} (teacher-0)" in problem.expected
    assert "vllm_port=" in problem.remedy


def test_an_api_student_needs_its_key_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainers.launch.checks.preflight import check_surroundings

    monkeypatch.delenv("MY_KEY", raising=False)
    api = ["student_base_url=http://api/v1", "student_api_key_env=MY_KEY"]
    config = compose(["quickstart_rl", f"workspace={tmp_path}", *api], Machine()).config
    remedies = [problem.remedy for problem in check_surroundings(make_plan(config, Machine(), 1, 1))]
    assert "export MY_KEY=…" in remedies


def test_the_saved_configuration_is_plain_and_complete(plan) -> None:
    assert json.loads(json.dumps(plan.config.flat())) == plan.config.flat()
