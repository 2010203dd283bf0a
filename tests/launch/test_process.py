"""The processes of a launch: what they write is kept and passed on, how they end is told as it is."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from trainers.configuration import ConfigurationError, Problem, compose
from trainers.configuration.devices.machine import Machine, assume
from trainers.launch import __main__ as launcher
from trainers.launch import running
from trainers.launch.plan import ROOT, make_plan
from trainers.launch.supervise.accelerate_agent import RANKS_GRACE_S
from trainers.launch.supervise.interruption import Request
from trainers.launch.supervise.log_copy import TAIL_BYTES
from trainers.launch.supervise.process import Process
from trainers.launch.supervise.ranks import FAILURE_FILE, record_failure, recorded_failure
from trainers.launch.supervise.screen import Screen
from trainers.serving.processes.command import Command
from trainers.serving.processes.server_group import ServerError, ServerGroup

WRITES = "import sys; sys.stderr.write({text}); print('terminal' if sys.stderr.isatty() else 'pipe', file=sys.stderr)"


def run(code: str, log: Path | None) -> tuple[int, str]:
    with Process(Command((sys.executable, "-c", code), {}), "child", log) as child:
        while (status := child.status(0.1)) is None:
            pass
    return status, child.tail


def test_output_is_passed_on_kept_and_remembered(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = "x" * TAIL_BYTES + "the end\n"
    status, tail = run(WRITES.format(text=f"'x' * {TAIL_BYTES} + 'the end\\n'"), tmp_path / "log")
    assert status == 0
    assert tail.endswith("the end\npipe\n")
    assert len(tail) == TAIL_BYTES
    assert (tmp_path / "log").read_text() == text + "pipe\n"
    assert capfd.readouterr().err == text + "pipe\n"


def test_chatter_of_libraries_is_kept_and_not_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = (
        "14:55:01 bitsandbytes.backends.cpu.ops Failed to load CPU gemm_4bit_forward from kernels-community\n",
        "[INFO] [real_accelerator.py:260:get_accelerator] Setting ds_accelerator to cpu (override)\n",
        "14:55:02 trainers.callbacks step 1/2  loss 0.5\n",
        "ValueError: Failed to load the data\n",
    )
    run(f"import sys; sys.stderr.writelines({lines!r})", tmp_path / "log")
    assert (tmp_path / "log").read_text() == "".join(lines)
    assert capfd.readouterr().err == "".join(lines[2:])


def test_of_a_bar_the_log_keeps_the_last_state(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bars = repr("1/3\r2/3\r3/3\nplain\nunfinished")
    run(f"import sys; sys.stderr.write({bars})", tmp_path / "log")
    assert (tmp_path / "log").read_text() == "3/3\nplain\nunfinished"
    assert capfd.readouterr().err == "3/3\nplain\nunfinished"


TELLS = """
import logging, sys, time
from trainers.progress import Count, tell
logging.basicConfig(level=logging.INFO, format="%(message)s")
print("on standard output", flush=True)
tell(stage="training", done=3, total=9, figures={"taught": "0.75"}, lesson="question 4: taught right: Add them.")
logging.info("step 3/9")
time.sleep(0.8)
"""
DRAWS = """
import logging, sys
from pathlib import Path
from trainers.launch.supervise.interruption import Request
from trainers.launch.supervise.process import Process
from trainers.launch.supervise.screen import screen_shown
from trainers.serving.processes.command import Command
logging.basicConfig(level=logging.INFO, format="%(message)s")
with screen_shown() as screen:
    logging.info("from the launcher")
    with Process(Command((sys.executable, "-c", {code!r}), {{}}), "child", Path({log!r}), screen) as child:
        while child.status(0.1) is None:
            pass
logging.info("afterwards")
"""


def written_to_terminal(code: str, **environment: str) -> str:
    """Return what a program writes to a terminal of 24 lines of 80 characters."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **environment}
    child = subprocess.Popen([sys.executable, "-c", code], stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    written = b""
    # A terminal that nobody writes to any more is an error to its reader.
    with suppress(OSError):
        while data := os.read(master, 4096):
            written += data
    assert child.wait(60) == 0
    return written.decode()


def test_a_terminal_has_one_display_and_the_log_plain_lines(tmp_path: Path) -> None:
    written = written_to_terminal(DRAWS.format(code=TELLS, log=str(tmp_path / "log")))
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    for shown in ("from the launcher", "on standard output", "step 3/9", "3/9", "taught", "0.75", "Add them.", "left"):
        assert shown in plain
    assert "\x1e" not in written
    assert written.rstrip().endswith("afterwards")
    assert (tmp_path / "log").read_text() == "on standard output\nstep 3/9\n"


def test_a_dumb_terminal_has_plain_lines(tmp_path: Path) -> None:
    written = written_to_terminal(DRAWS.format(code=TELLS, log=str(tmp_path / "log")), TERM="dumb")
    assert "\x1b" not in written
    assert "\x1e" not in written
    assert "step 3/9" in written
    assert "0.75" not in written


def test_statuses_and_signals_are_passed_on(tmp_path: Path) -> None:
    assert run("raise SystemExit(7)", None)[0] == 7
    assert run("import os; os.kill(os.getpid(), 9)", tmp_path / "log")[0] == 128 + 9


def test_a_rank_that_ignores_requests_ends_with_its_starter(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    head = (
        "import pathlib, subprocess, sys, time; "
        f"rank = subprocess.Popen([sys.executable, '-c', {stubborn!r}], start_new_session=True); "
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(rank.pid)); time.sleep(600)"
    )
    command = [sys.executable, "-m", "trainers.serving.processes.die_with_parent", sys.executable, "-c", head]
    code = (
        "import sys; from trainers.serving.processes import die_with_parent as guard; guard.GRACE_S = 1.0; guard.main()"
    )
    command[1:3] = ["-c", code]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, cwd=ROOT)
    deadline = time.monotonic() + 30
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    rank = psutil.Process(int((tmp_path / "pid").read_text()))
    assert guard.stdin is not None
    guard.stdin.close()
    guard.wait(30)
    assert not rank.is_running() or rank.status() == psutil.STATUS_ZOMBIE


SLOW_TO_START = """
import time
from trainers.serving.processes import die_with_parent as guard
prepare = guard._prepare_child
guard._prepare_child = lambda: (time.sleep(1), prepare())
guard.main()
"""


@pytest.mark.parametrize("heard_by", ["command", "guard"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_request_is_not_lost_while_a_command_starts(number: signal.Signals, heard_by: str) -> None:
    # A machine with much else to do leaves a process for long where it is its starter's copy, and no command yet.
    command = [sys.executable, "-c", SLOW_TO_START, "sleep", "600"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, cwd=ROOT) as guard:
        try:
            while not (started := psutil.Process(guard.pid).children()):
                time.sleep(0.01)
            (started[0] if heard_by == "command" else guard).send_signal(number)
            assert guard.wait(30) == 128 + number
        finally:
            guard.kill()
    assert not started[0].is_running()


def test_a_ranks_problems_reach_the_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ConfigurationError([Problem("a=1", "expected 2", "write a=2")])
    monkeypatch.delenv(FAILURE_FILE, raising=False)
    assert not record_failure(error)
    monkeypatch.setenv(FAILURE_FILE, str(tmp_path / "failure.json"))
    assert recorded_failure(tmp_path / "failure.json") is None
    assert record_failure(error)
    assert recorded_failure(tmp_path / "failure.json").problems == error.problems
    assert [path.name for path in tmp_path.iterdir()] == ["failure.json"]


RANK = """
import json, os, sys, time
from pathlib import Path
from trainers.launch.supervise.interruption import outlast_requests
outlast_requests()
while os.environ["RANK"] == "1":
    Path("alive").touch()
    time.sleep(0.1)
while not Path("alive").exists():
    time.sleep(0.02)
Path("failed").touch()
{failure}
"""


def test_an_agent_that_is_asked_to_end_loads_nothing_for_it(tmp_path: Path) -> None:
    package = tmp_path / "accelerate" / "commands"
    package.mkdir(parents=True)
    (package / "launch.py").write_text("def main():\n    raise KeyboardInterrupt\n", encoding="utf-8")
    code = (
        "import sys; from trainers.launch.supervise import accelerate_agent as agent\n"
        "try:\n    agent.main()\nexcept KeyboardInterrupt:\n    sys.exit(7 if 'torch' in sys.modules else 0)\n"
        "sys.exit(8)"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    for directory in (package, package.parent):
        (directory / "__init__.py").touch()
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False, cwd=tmp_path).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failure", "status"),
    [
        ("sys.stderr.write('told once\\n'); sys.exit(2)", 2),
        ("os.kill(os.getpid(), 9)", 128 + 9),
    ],
)
def test_accelerate_ends_soon_and_as_its_first_failed_rank_did(failure: str, status: int, tmp_path: Path) -> None:
    config = compose(["quickstart_sft", f"output_dir={tmp_path}"], Machine(), 2).config
    plan = make_plan(config, Machine(), 0, 2)
    running.write_accelerate(plan)
    script = tmp_path / "rank.py"
    script.write_text(RANK.format(failure=failure), encoding="utf-8")
    command = [*plan.trainer.argv[: plan.trainer.argv.index(str(ROOT / "train.py"))], str(script)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=tmp_path)
    assert ended.returncode == status, ended.stderr
    # Ranks outlast the TERM by which the agent ends them.
    failed, alive = ((tmp_path / name).stat().st_mtime for name in ("failed", "alive"))
    assert RANKS_GRACE_S - 1 < alive - failed < RANKS_GRACE_S + 5
    assert ended.stderr.count("told once") == (status == 2)
    assert "Traceback" not in ended.stderr
    assert "ChildFailedError" not in ended.stderr


def test_a_failed_trainer_is_explained_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose(["teacher_rcl", f"output_dir={tmp_path}"], assume(8), 4, 4).config
    monkeypatch.setattr(running, "newest_whole", lambda _: (tmp_path / "checkpoint-10", {}))
    with caplog.at_level("INFO"):
        running.conclude(make_plan(config, assume(8), 4, 4), 1, "torch.OutOfMemoryError: CUDA out of memory.")
    said = [entry.getMessage() for entry in caplog.records]
    assert said[0] == f"the trainer failed with status 1; what it wrote is in {tmp_path / 'trainer.log'}"
    assert said[1].startswith("the GPU's memory ran out in training. → lower max_completion_length")
    assert said[2] == f"the same command continues from {tmp_path / 'checkpoint-10'}"


@pytest.mark.parametrize(("recipe", "ends"), [("teacher_rcl", 4), ("teacher_sft", 4), ("evaluate", 0)])
def test_only_a_training_that_has_done_all_its_steps_is_finished(
    recipe: str, ends: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    servers, trainers = {"teacher_rcl": (4, 4), "teacher_sft": (0, 8), "evaluate": (4, 0)}[recipe]
    config = compose(
        [recipe, f"output_dir={tmp_path}", "teacher=t"][: 3 if recipe == "evaluate" else 2], assume(8)
    ).config
    plan = make_plan(config, assume(8), servers, trainers)
    with caplog.at_level("INFO"):
        assert running.conclude(plan, 0, "") == ends
    assert caplog.messages[-1].startswith("stopped early" if ends else "finished")
    (tmp_path / "finished.json").write_text("{}", encoding="utf-8")
    with caplog.at_level("INFO"):
        assert running.conclude(plan, 0, "") == 0
    assert caplog.messages[-1] == f"finished; output is in {tmp_path}"


def test_a_server_failure_is_explained(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> int:
        raise ServerError("Server teacher-0 ended.", Path("t.log"), "No available memory for the cache blocks.")

    monkeypatch.setattr(launcher, "launch", fail)
    assert launcher.main(["--servers", "1", "--trainers", "1", "teacher_rcl"]) == 3
    assert "lower teacher_max_model_len" in caplog.records[-1].getMessage()


def test_problems_of_a_rank_end_the_launch_with_status_two(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = compose(["quickstart_sft", f"output_dir={tmp_path}"], Machine(), 1).config
    plan = make_plan(config, Machine(), 0, 1)
    problem = {"given": "column_map=null", "expected": "no column holds the question", "remedy": "write column_map=…"}
    tells = f"pathlib.Path(os.environ[{FAILURE_FILE!r}]).write_text({json.dumps([problem])!r})"
    code = f"import os, pathlib; {tells}; raise SystemExit(2)"

    def stand_in(command: Command, name: str, log: Path, screen: Screen | None) -> Process:
        return Process(Command((sys.executable, "-c", code), command.env), name, log, screen)

    monkeypatch.setattr(running, "Process", stand_in)
    monkeypatch.setattr(launcher, "launch", lambda _: running.run(plan))
    assert launcher.main(["--servers", "0", "--trainers", "1", "quickstart_sft"]) == 2
    assert capsys.readouterr().err.rstrip().endswith("→ write column_map=…")


class SlowStarter:
    """Stands in for a trainer that says nothing for three looks at it, then its first line, and ends."""

    def __init__(self) -> None:
        self.looks = 0

    @property
    def said_something(self) -> bool:
        return self.looks > 3

    def status(self, timeout_s: float) -> int | None:
        time.sleep(0.02)
        self.looks += 1
        return 0 if self.looks > 6 else None


def test_a_trainer_that_is_silent_at_first_is_said_to_be_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(running, "SILENCE_S", 0.01)
    caplog.set_level("INFO")
    plan = make_plan(compose(["quickstart_sft", f"workspace={tmp_path}"], assume(0), 1, 0).config, assume(0), 0, 1)
    assert running.watched(plan, ServerGroup((), tmp_path), SlowStarter(), Request()) == 0
    waited = [record.message for record in caplog.records]
    assert waited == ["waiting for the trainer's first line (0 s)"] * 3
