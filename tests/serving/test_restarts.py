"""Servers that end in the middle of a run are started anew by their group, as often as they may."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.support.stand_in_servers import SERVE
from trainers.serving.processes import server_group
from trainers.serving.processes.command import Command
from trainers.serving.processes.health_watch import HealthWatch
from trainers.serving.processes.server_group import Server, ServerError, ServerGroup
from trainers.serving.server_records import ServerRecords
from trainers.serving.server_spec import ServerSpec

# Answers as a server does whose model is loaded; writes which start it is; ends by itself where it is told to.
SERVES = f"""{SERVE}
import os, pathlib, sys
model, port, fails = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
print("start", os.environ["ATLAS_SERVER_INSTANCE"], flush=True)
if fails.exists():
    sys.exit("CUDA out of memory")
serve(model, port)
"""
PATIENCE_S = 120.0
GIVEN_UP = ("a server that cannot start again, or ends too often", "given up after `max_server_restarts`, and named")


@pytest.fixture
def fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let servers be the program above; while this file exists, one that starts ends at once."""
    switch = tmp_path / "fails"

    def command(spec: ServerSpec) -> Command:
        return Command((sys.executable, "-c", SERVES, spec.model, str(spec.port), str(switch)), {})

    monkeypatch.setattr(server_group, "server_command", command)
    return switch


@pytest.fixture
def specs(free_port: int) -> list[ServerSpec]:
    roles = (("teacher", 0), ("student", 0), ("student", 1))
    return [
        ServerSpec(role, index, "m", "127.0.0.1", free_port + number)  # type: ignore[arg-type]
        for number, (role, index) in enumerate(roles)
    ]


def until(group: ServerGroup, condition: Callable[[], bool]) -> None:
    """Watch over a group, as a launcher does, until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        group.poll()
        time.sleep(0.02)


def kill(server: Server) -> None:
    """End a server's front end, as the kernel does when memory is short."""
    deadline = time.monotonic() + PATIENCE_S
    # A guard that has just been started has nothing to guard yet.
    while not (children := psutil.Process(server.pid).children()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    children[0].kill()


def state(server: Server, output: Path) -> tuple[str, int]:
    """Return what the file says of a server."""
    record = ServerRecords(output).now()[server.spec.base_url]
    return record.state, record.restarts


@pytest.mark.fault(*GIVEN_UP)
def test_a_server_is_restarted_as_it_was_until_it_may_no_more(
    fails: Path, specs: list[ServerSpec], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ServerGroup(specs[:2], tmp_path, max_restarts=2) as group:
        teacher, student = group.servers
        first, command = teacher.log_path.read_text(), teacher.log_path.read_text().splitlines()[0]
        for number in (1, 2):
            kill(teacher)
            until(group, lambda: teacher.state == "restarting")
            assert state(teacher, tmp_path)[0] == "restarting"
            until(group, lambda: teacher.state == "up")
            assert state(teacher, tmp_path) == ("up", number)
        assert state(student, tmp_path) == ("up", 0)
        told = [message for message in caplog.messages if "It is restarted" in message]
        assert "Server teacher-0 (model m" in told[0]
        assert "was killed by signal 9" in told[0]
        assert [message.rpartition("\n")[2] for message in told] == [
            f"It is restarted: {number} of at most 2 times" for number in (1, 2)
        ]
        assert (tmp_path / "servers/teacher-0.before-restart-1.log").read_text() == first
        again = teacher.log_path.read_text()
        assert again.splitlines()[0] == command
        # Each start has a name of its own, by which requests tell it from the one before.
        assert again != first
        kill(teacher)
        with pytest.raises(ServerError, match="teacher-0"):
            until(group, lambda: False)
        assert state(teacher, tmp_path)[0] == "gone"
    assert [entry["state"] for entry in json.loads((tmp_path / "servers.json").read_text())] == ["stopped"] * 2


@pytest.mark.fault(*GIVEN_UP)
def test_one_that_cannot_start_again_is_given_up(fails: Path, specs: list[ServerSpec], tmp_path: Path) -> None:
    with ServerGroup(specs[:1], tmp_path, max_restarts=2) as group:
        fails.touch()
        kill(group.servers[0])
        with pytest.raises(ServerError, match=r"ended with status 1 while it was restarted[\s\S]*out of memory"):
            until(group, lambda: False)
        assert group.servers[0].restarts == 2


@pytest.mark.fault(*GIVEN_UP)
def test_one_that_is_never_ready_again_is_given_up(
    fails: Path, specs: list[ServerSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ServerGroup(specs[:1], tmp_path, max_restarts=1) as group:
        monkeypatch.setattr(Server, "is_ready", lambda _: False)
        group._start_timeout_s = 0.2
        kill(group.servers[0])
        with pytest.raises(ServerError, match="was not ready 0 s after it was restarted"):
            until(group, lambda: False)


@pytest.mark.fault(
    "SIGSTOP of a server that may be restarted (the watch waits 1 s instead of 45)", "ended and restarted"
)
def test_a_server_that_hangs_is_restarted(
    fails: Path, specs: list[ServerSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        server_group, "HealthWatch", lambda servers: HealthWatch(servers, hung_after_s=1, interval_s=0.1)
    )
    with ServerGroup(specs[:1], tmp_path, max_restarts=1) as group:
        [server] = group.servers
        [front_end] = psutil.Process(server.pid).children()
        os.kill(front_end.pid, signal.SIGSTOP)
        until(group, lambda: server.restarts == 1)
        # The start that follows is not taken for another hang, though it may take longer.
        until(group, lambda: server.state == "up")
        assert server.restarts == 1


def test_servers_of_one_gpu_are_restarted_one_after_the_other(
    fails: Path, specs: list[ServerSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[str, list[str]]] = []
    with ServerGroup([replace(spec, gpus=(0,)) for spec in specs[:2]], tmp_path, max_restarts=1) as group:
        start = Server.start

        def noted(server: Server) -> None:
            ready = [each.spec.name for each in group.servers if each.is_ready()]
            started.append((server.spec.name, ready))
            start(server)

        monkeypatch.setattr(Server, "start", noted)
        for server in group.servers:
            kill(server)
        until(group, lambda: [server.state for server in group.servers] == ["up", "up"] and len(started) == 2)
    first, second = started
    assert first[1] == []
    assert second[1] == [first[0]]


def test_none_is_restarted_while_they_start_nor_for_a_trainer_that_has_failed(
    fails: Path, specs: list[ServerSpec], tmp_path: Path
) -> None:
    fails.touch()
    with pytest.raises(ServerError, match="out of memory"):
        ServerGroup(specs[:1], tmp_path, max_restarts=3).start()
    fails.unlink()
    with ServerGroup(specs[:1], tmp_path, max_restarts=3) as group:
        group.check()
        kill(group.servers[0])
        deadline = time.monotonic() + PATIENCE_S
        while group.servers[0].exit_status() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(ServerError, match="was killed by signal 9"):
            group.check()
        until(group, lambda: group.servers[0].state == "restarting")
        with pytest.raises(ServerError, match="was killed by signal 9"):
            group.check()
        assert group.servers[0].restarts == 1


def test_one_that_can_be_done_without_is_restarted_first(
    fails: Path, specs: list[ServerSpec], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    students = [replace(spec, students=(name,)) for spec, name in zip(specs[1:], "ab", strict=True)]
    with ServerGroup(students, tmp_path, lambda ended: len(ended) < 2, max_restarts=1) as group:
        for _ in range(2):
            kill(group.servers[0])
            before = group.servers[0].state, group.servers[0].restarts
            until(group, lambda before=before: (group.servers[0].state, group.servers[0].restarts) != before)  # type: ignore[misc]
            until(group, lambda: group.servers[0].state != "restarting")
        assert [server.state for server in group.servers] == ["gone", "up"]
        assert "The run goes on without it" in caplog.text
        group.check()


@pytest.mark.fault(
    "one to three of three servers killed at random moments, also while they are restarted",
    "restarted, same port and command line; all are up again, and none is left at the end",
)
def test_kills_at_random_moments_leave_servers_that_are_up(
    chance: random.Random, fails: Path, specs: list[ServerSpec], tmp_path: Path
) -> None:
    with ServerGroup(specs, tmp_path, max_restarts=99) as group:
        commands = [server.log_path.read_text().splitlines()[0] for server in group.servers]
        counts = {}
        for server in chance.sample(group.servers, chance.randint(1, 3)):
            pause = time.monotonic() + chance.random()
            until(group, lambda pause=pause: time.monotonic() > pause)  # type: ignore[misc]
            kill(server)
            counts[server] = server.restarts
        if chance.random() < 0.5:
            again = chance.choice(list(counts))
            until(group, lambda: again.restarts > counts[again])
            kill(again)
            counts[again] += 1
        until(group, lambda: all(server.restarts > count for server, count in counts.items()))
        until(group, lambda: all(server.state == "up" for server in group.servers))
        assert all(server.is_ready() for server in group.servers)
        assert [server.log_path.read_text().splitlines()[0] for server in group.servers] == commands
        pids = [server.pid for server in group.servers]
    assert not any(psutil.pid_exists(pid) for pid in pids)
