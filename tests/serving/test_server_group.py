"""Starting, watching and stopping processes, with small stand-ins for vLLM: every way a start or a run can end."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.support.stand_in_servers import SERVE
from trainers.serving.processes import server_group as servers_module
from trainers.serving.processes.command import Command
from trainers.serving.processes.server_group import (
    Server,
    ServerError,
    ServerGroup,
    log_tail,
    start_waves,
    unavailable_ports,
)
from trainers.serving.server_spec import ServerSpec

# Like vLLM: a front end that answers, and a child of its own that does the work and ignores its parent's death.
GOOD_SERVER = f"""{SERVE}
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)", "engine"])
print("ready to serve", flush=True)
serve(sys.argv[1], int(sys.argv[2]))
"""
DYING_SERVER = """
    import sys
    print("loading")
    sys.exit("ValueError: no such model")
"""
MUTE_SERVER = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("still compiling", flush=True)
    time.sleep(300)
"""


def spec(index=0, *, port, gpus=(), role="teacher"):
    return ServerSpec(role, index, "the-model", "127.0.0.1", port, gpus=gpus)


@pytest.fixture
def stand_in(monkeypatch):
    """Makes servers run the given program instead of vLLM."""

    def use(program):
        def command(spec):
            return Command((sys.executable, "-c", textwrap.dedent(program), spec.model, str(spec.port)), {})

        monkeypatch.setattr(servers_module, "server_command", command)

    return use


def group_members(group_id):
    """Pids of the living processes of a process group."""
    return [process.pid for process in psutil.process_iter() if lives_in(process, group_id)]


def lives_in(process, group_id):
    try:
        return os.getpgid(process.pid) == group_id and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def wait_until(condition, timeout_s=15.0):
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_servers_are_ready_inside_the_block_and_gone_with_their_children_after_it(stand_in, tmp_path, free_port):
    stand_in(GOOD_SERVER)
    specs = [spec(port=free_port), spec(port=free_port + 1, role="student")]
    with ServerGroup(specs, tmp_path) as group:
        addresses = json.loads((tmp_path / "servers.json").read_text())
        assert [(a["name"], a["role"], a["model"]) for a in addresses] == [
            ("teacher-0", "teacher", "the-model"),
            ("student-0", "student", "the-model"),
        ]
        assert addresses[1]["url"] == f"http://127.0.0.1:{free_port + 1}"
        groups = [address["pid"] for address in addresses]
        assert [len(group_members(pid)) for pid in groups] == [3, 3]
        assert "ready to serve" in (tmp_path / "servers/teacher-0.log").read_text()
        group.poll()
    assert [group_members(pid) for pid in groups] == [[], []]
    assert not unavailable_ports(specs)
    group.stop()


def test_a_server_that_dies_while_starting_is_one_error_with_its_last_words(stand_in, tmp_path, free_port):
    stand_in(DYING_SERVER)
    group = ServerGroup([spec(port=free_port)], tmp_path)
    with pytest.raises(ServerError) as raised:
        group.start()
    assert "teacher-0 (model the-model" in str(raised.value)
    assert "ended with status 1" in str(raised.value)
    assert str(raised.value).endswith("ValueError: no such model")


def test_a_server_that_is_not_ready_in_time_is_killed_though_it_ignores_requests(stand_in, tmp_path, free_port):
    stand_in(MUTE_SERVER)
    group = ServerGroup([spec(port=free_port)], tmp_path, start_timeout_s=0.5)
    stop = group.stop
    group.stop = lambda: stop(grace_s=0.5)
    with pytest.raises(ServerError, match=r"not ready after 0 s[\s\S]*still compiling"):
        group.start()
    assert group_members(group.servers[0].pid) == []


def test_the_death_of_a_running_server_is_noticed_and_leaves_no_child_behind(stand_in, tmp_path, free_port):
    stand_in(GOOD_SERVER)
    with ServerGroup([spec(port=free_port)], tmp_path) as group:
        guard = group.servers[0].pid
        [front_end] = psutil.Process(guard).children()
        front_end.kill()
        assert wait_until(lambda: group.servers[0].exit_status() is not None)
        with pytest.raises(ServerError, match="ended with status 137"):
            group.poll()
        assert group_members(guard) == []


def end(server):
    [front_end] = psutil.Process(server.pid).children()
    front_end.kill()
    assert wait_until(lambda: server.exit_status() is not None)


def test_a_server_that_can_be_done_without_is_told_once(stand_in, tmp_path, free_port, caplog):
    stand_in(GOOD_SERVER)
    specs = [spec(i, port=free_port + i, role="student") for i in range(2)]
    specs = [dataclasses.replace(each, students=(name,)) for each, name in zip(specs, "ab", strict=True)]
    with ServerGroup(specs, tmp_path, lambda ended: len(ended) < 2) as group:
        end(group.servers[0])
        # Whoever relies on it does not know yet.
        assert group.in_use() == group.servers
        group.poll()
        group.poll()
        assert group.in_use() == group.servers[1:]
        assert caplog.text.count("Server student-0 (model the-model") == 1
        assert "The run goes on without it: what it does not answer of a is lost alone" in caplog.text
        end(group.servers[1])
        with pytest.raises(ServerError, match="student-1"):
            group.poll()


def test_no_server_is_done_without_while_they_start(stand_in, tmp_path, free_port):
    stand_in(DYING_SERVER)
    with pytest.raises(ServerError, match="no such model"):
        ServerGroup([spec(port=free_port, role="student")], tmp_path, lambda _: True).start()


def test_a_taken_port_is_named_and_nothing_is_started(stand_in, tmp_path, free_port):
    stand_in(GOOD_SERVER)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", free_port + 1))
        other.listen()
        group = ServerGroup([spec(port=free_port), spec(1, port=free_port + 1)], tmp_path)
        with pytest.raises(ServerError, match=rf"{free_port + 1} \(for teacher-1\).*vllm_port"):
            group.start()
    assert not any(server.is_started for server in group.servers)


def test_servers_die_with_a_launcher_that_is_killed(tmp_path, free_port):
    launcher = f"""
        import pathlib, sys, time
        from trainers.serving.processes import server_group as module
        from trainers.serving.processes.command import Command
        from trainers.serving.server_spec import ServerSpec
        program = {textwrap.dedent(GOOD_SERVER)!r}
        module.server_command = lambda spec: Command((sys.executable, "-c", program, "m", str(spec.port)), {{}})
        specs = [ServerSpec("teacher", 0, "m", "127.0.0.1", {free_port})]
        with module.ServerGroup(specs, pathlib.Path({str(tmp_path)!r})):
            print("up", flush=True)
            time.sleep(300)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(launcher)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    group = json.loads((tmp_path / "servers.json").read_text())[0]["pid"]
    assert len(group_members(group)) == 3
    process.kill()
    process.wait()
    assert wait_until(lambda: group_members(group) == [])


@pytest.mark.slow
@pytest.mark.servers
def test_a_model_that_vllm_cannot_load_is_one_error_that_says_why(tmp_path, free_port):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text('{"model_type": "no-such-architecture"}')
    broken = ServerSpec("student", 0, str(tmp_path / "model"), "127.0.0.1", free_port)
    group = ServerGroup([broken], tmp_path, start_timeout_s=300)
    with pytest.raises(ServerError, match=r"student-0[\s\S]*ended with status 1[\s\S]*no-such-architecture"):
        group.start()
    assert group_members(group.servers[0].pid) == []


def test_servers_start_together_unless_they_share_a_gpu():
    first, second, third = (spec(i, port=9000 + i, gpus=gpus) for i, gpus in enumerate([(0,), (0, 1), (2,)]))
    assert start_waves([first, second, third]) == [[first, third], [second]]
    on_cpu = [dataclasses.replace(s, gpus=()) for s in (first, second, third)]
    assert start_waves(on_cpu) == [on_cpu]


def test_a_log_tail_keeps_what_says_something(tmp_path):
    log = tmp_path / "a.log"
    log.write_text(
        "early\n\n"
        "(EngineCore pid=7) ERROR 11-22 10:04:55 [core.py:1433] Traceback (most recent call last):\n"
        '(EngineCore pid=7) ERROR 11-22 10:04:55 [core.py:1433]   File "x.py", line 3, in load\n'
        "(EngineCore pid=7) ERROR 11-22 10:04:55 [core.py:1433]     raise ValueError\n"
        "(EngineCore pid=7) ERROR 11-22 10:04:55 [core.py:1433] ValueError: the reason\n"
        ' - leaked instance of type "x"\n'
    )
    assert [line.rpartition("] ")[2] for line in log_tail(log, 2).splitlines()] == [
        "Traceback (most recent call last):",
        "ValueError: the reason",
    ]
    assert log_tail(tmp_path / "missing.log") == ""


def test_a_port_that_echoes_is_not_a_server_and_no_error(free_port):
    """A probe gets its own request as the answer, as when the kernel connects it to itself: that is no server's."""
    with socket.create_server(("127.0.0.1", free_port)) as listener:

        def echo():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(connection.recv(4096))

        thread = threading.Thread(target=echo, daemon=True)
        thread.start()
        assert not Server(spec(port=free_port), Path("unused.log")).is_ready()
        thread.join(timeout=10)
        assert not thread.is_alive()
