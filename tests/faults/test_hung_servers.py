"""A server that runs and does no work is named soon, and ended: whoever waits for it would do so until a deadline."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from trainers.serving.processes import health_watch, server_group
from trainers.serving.processes.health_watch import HUNG_AFTER_S, INTERVAL_S, TIMEOUT_S, HealthWatch, trouble_of
from trainers.serving.processes.server_group import Server, ServerError, ServerGroup, how_it_ended

SERVES = """
import http.server, subprocess, sys
engine = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_):
        pass
print(engine.pid, flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def stand_in() -> Iterator[Any]:
    """A server of two processes, front end and engine, that answers `/health` and nothing else."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", SERVES, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        engine = int(process.stdout.readline())
        spec = SimpleNamespace(name="student-0", role="student", model="m", base_url=f"http://127.0.0.1:{port}")
        made = SimpleNamespace(pid=process.pid, engine=engine, spec=spec, process=process)
        deadline = time.monotonic() + 60
        while trouble_of(made) is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        yield made
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def until_hung(watch: HealthWatch, seconds: float) -> tuple[int, str] | None:
    """Wait for the watch to name a server."""
    deadline = time.monotonic() + seconds
    while watch.hung() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return watch.hung()


def test_a_hang_is_named_within_a_minute() -> None:
    # Two looks that fail, of which the second may take as long as it waits.
    assert HUNG_AFTER_S + INTERVAL_S + TIMEOUT_S <= 65
    assert HUNG_AFTER_S + INTERVAL_S <= 60


@pytest.mark.fault(
    "SIGSTOP of a server's front end or engine (the watch waits 0.5 s instead of 45)",
    "named, and well again when it goes on",
)
@pytest.mark.parametrize("frozen", ["front end", "engine"])
def test_a_frozen_process_is_named_and_one_that_goes_on_is_well_again(
    frozen: str, chance: random.Random, stand_in: Any
) -> None:
    pid = stand_in.pid if frozen == "front end" else stand_in.engine
    watch = HealthWatch([stand_in], hung_after_s=0.5, interval_s=0.1).start()
    assert until_hung(watch, 1.5) is None
    time.sleep(chance.uniform(0.0, 0.2))
    os.kill(pid, signal.SIGSTOP)
    found = until_hung(watch, 30)
    assert found is not None
    assert found[0] == 0
    assert f"hangs: its process {pid} is stopped, as by SIGSTOP" in found[1]
    os.kill(pid, signal.SIGCONT)
    deadline = time.monotonic() + 30
    while watch.hung() is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert watch.hung() is None
    watch.stop()


def test_a_server_that_answers_nothing_is_in_trouble(stand_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_watch, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(health_watch, "stopped_process", lambda _: None)
    assert trouble_of(stand_in) is None
    os.kill(stand_in.pid, signal.SIGSTOP)
    assert trouble_of(stand_in) == "it does not answer /health"
    os.kill(stand_in.pid, signal.SIGCONT)


def test_a_process_that_is_stopped_while_its_server_is_asked_is_named(
    stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(*_: object) -> bool:
        os.kill(stand_in.pid, signal.SIGSTOP)
        while psutil.Process(stand_in.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.001)
        return False

    monkeypatch.setattr(health_watch, "answers", answers)
    assert trouble_of(stand_in) == f"its process {stand_in.pid} is stopped, as by SIGSTOP"


def test_a_short_pause_is_no_hang() -> None:
    looks = iter([None, "busy", "busy", None] * 1000)
    watch = HealthWatch([SimpleNamespace()], look=lambda _: next(looks), hung_after_s=1.0, interval_s=0.02).start()
    assert until_hung(watch, 1.5) is None
    watch.stop()


def test_a_group_kills_a_server_that_hangs_and_says_so(
    stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(stand_in.spec, tmp_path / "student-0.log")
    server._process = stand_in.process
    group = ServerGroup([], tmp_path)
    group.servers = (server,)
    monkeypatch.setattr(group, "start", lambda: None)
    monkeypatch.setattr(
        server_group, "HealthWatch", lambda servers: HealthWatch(servers, hung_after_s=0.3, interval_s=0.1)
    )
    with group:
        group.poll()
        os.kill(stand_in.pid, signal.SIGSTOP)
        assert group._health is not None
        assert until_hung(group._health, 30) is not None
        with pytest.raises(ServerError, match=r"Server student-0 .* hangs: its process \d+ is stopped.*it was killed"):
            group.poll()
        assert stand_in.process.returncode is not None


def test_an_engine_that_was_killed_is_told_from_the_whole_log(tmp_path: Path) -> None:
    said = "[shutdown] MPClient: engine core exited unexpectedly; starting cleanup"
    # Chatter of vLLM, which the end of a log that is shown does without.
    server = Server(SimpleNamespace(name="student-0", model="m", base_url="u"), tmp_path / "log")  # type: ignore[arg-type]
    (tmp_path / "log").write_text(f"INFO starting\n{said}\n" + "[shutdown] more\n" * 99)
    server.exit_status = lambda: 0  # type: ignore[method-assign]
    group = ServerGroup([], tmp_path)
    group.servers = (server,)
    with pytest.raises(ServerError, match="lost its engine, which was killed or crashed"):
        group.poll()


@pytest.mark.parametrize(
    ("status", "tail", "said"),
    [
        (0, "ERROR EngineDeadError: EngineCore encountered an issue", "lost its engine"),
        (0, "[shutdown] MPClient: engine core exited unexpectedly; starting cleanup", "lost its engine"),
        (0, "Shutting down", "ended with status 0, though nobody asked it to"),
        (137, "", "was killed by signal 9"),
        (1, "", "ended with status 1"),
    ],
)
def test_the_end_of_a_server_is_told_as_it_was(status: int, tail: str, said: str) -> None:
    assert how_it_ended(status, tail).startswith(said)
