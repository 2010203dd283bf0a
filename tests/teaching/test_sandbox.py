"""The sandbox: what programs can do in it, what they cannot, and that each protection is what keeps them from it."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.support.sandboxes import LIMITS, isolated, run_python
from trainers.teaching.verifiers.code import remote_calls, sandbox
from trainers.teaching.verifiers.code.packages import NO_PACKAGES
from trainers.teaching.verifiers.code.sandbox import ResourceLimits, _can_isolate

RUNNER = sandbox._RUNNER
LIBC = "import ctypes\nlibc = ctypes.CDLL(None)\n"


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("x = 1", "passed"),
        ("print('x' * 10**7)", "passed"),
        ("assert False", "failed"),
        ("input()", "failed"),
        ("x = bytearray(4 * 2**30)", "failed"),
        ("while True: pass", "cpu_limit"),
        ("import os\nassert not [name for name in os.environ if name != 'LC_CTYPE'], os.environ", "passed"),
    ],
)
def test_limits(program, outcome):
    assert run_python(program) == outcome
    assert run_python(program, isolate=False) == outcome


def test_waiting_is_cut_off():
    started = time.monotonic()
    assert run_python("import time\ntime.sleep(60)", ResourceLimits(cpu_s=1, wall_s=1)) == "wall_limit"
    assert time.monotonic() - started < 30


@isolated
@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("open('/tmp/note', 'w').write('x'); assert open('/tmp/note').read() == 'x'", "passed"),
        ("open('/tmp/big', 'wb').write(b'x' * (100 * 2**20))", "failed"),
        ("open('/etc/note', 'w')", "failed"),
        ("open('/dev/shm/note', 'w')", "failed"),
        ("open('/proc/1/environ')", "failed"),
        ("import os\nfor _ in range(200):\n    if os.fork() == 0:\n        import time; time.sleep(60)", "failed"),
        ("import os\nos.kill(os.getppid(), 9)\nos.kill(-1, 9)", "failed"),
        ("import os\nos.setuid(0)\nopen('/etc/shadow')", "failed"),
        ("import json, re, heapq, decimal, datetime, statistics, dataclasses, functools", "passed"),
    ],
)
def test_what_programs_may_not_do(program, outcome):
    assert run_python(program, isolate=True) == outcome


@isolated
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_modules_that_are_loaded_late_are_there(umask):
    """Encodings are imported when they are first used: by another user than the one who may own the interpreter."""
    program = (
        "import codecs\nassert codecs.encode('Hello', 'rot13') == 'Uryyb'\nassert codecs.encode(b'a', 'hex') == b'61'\n"
        "assert 'a'.encode('utf-16-le') == b'a\\0'\nassert b'\\xe9'.decode('cp1252') == 'é'"
    )
    before = os.umask(umask)
    try:
        assert run_python(program, isolate=True) == "passed"
    finally:
        os.umask(before)


@isolated
def test_nothing_a_program_started_outlives_it():
    program = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)"
    before = runners()
    assert run_python(program, isolate=True) == "passed"
    assert within(3, lambda: not runners() - before)


def test_memory_is_counted_over_all_processes():
    program = (
        "import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n"
        "        block = bytearray(b'x') * (60 * 2**20)\n        time.sleep(20)\ntime.sleep(20)"
    )
    limits = ResourceLimits(cpu_s=5, wall_s=60, memory_bytes=200 * 2**20)
    assert run_python(program, limits) == "memory_limit"


@isolated
def test_files_of_the_machine_are_not_there(tmp_path):
    secret = tmp_path / "answers.txt"
    secret.write_text("42")
    secret.chmod(0o644)
    for path in (secret, Path(__file__), "/etc/passwd", json.__file__):
        outcome = run_python(f"open({str(path)!r}).read()", isolate=True)
        assert outcome == ("passed" if path == json.__file__ else "failed"), path


def test_a_machine_that_cannot_isolate_is_named_once(monkeypatch, caplog):
    monkeypatch.setattr(sandbox, "_run", lambda *_, **__: "sandbox_error")
    _can_isolate.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert not _can_isolate()
        assert not _can_isolate()
    _can_isolate.cache_clear()
    assert len(caplog.records) == 1
    assert "use verifier=code in a container" in caplog.text


# --- each protection switched off ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Protection:
    """A part of the runner's source that protects, what stands there when it is off, and a program that needs it off.

    `{port}`, `{pid}` and `{shared}` in the program are a listening port, a process and the number of shared memory of
    the machine.
    """

    source: str
    off: str
    program: str
    isolate: bool = True


PROTECTIONS = {
    "network": Protection(
        " | _CLONE_NEWNET", "", "import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=2)"
    ),
    "process table": Protection(
        " | _CLONE_NEWPID", "", "import os\ntry: os.kill({pid}, 0)\nexcept PermissionError: pass"
    ),
    "shared memory": Protection(
        " | _CLONE_NEWIPC", "", LIBC + "libc.shmat.restype = ctypes.c_ssize_t\nassert libc.shmat({shared}, 0, 0) != -1"
    ),
    "files and /proc": Protection(
        # Another user could not even read an interpreter that lies in root's home.
        '_hide_machine(request, request["uid"] if as_root else 0)', 'request["uid"] = None', "open('/proc/stat', 'rb')"
    ),
    "size of /tmp": Protection(
        '/tmp", _SCRATCH_BYTES,', '/tmp", 2 * _SCRATCH_BYTES,',
        "for name in 'ab': open(f'/tmp/{{name}}', 'wb').write(b'x' * (40 * 2**20))",
    ),
    "privileges": Protection(
        '_drop_privileges(request["uid"] if as_root else None)', "pass", "import socket\nsocket.sethostname('other')"
    ),
    "new privileges": Protection(
        # The kernel takes no filter from who could still gain any.
        "_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)", 'request["filter"] = ""',
        LIBC + "assert libc.prctl(39, 0, 0, 0, 0) == 0"
    ),
    "access by others": Protection(
        "_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)", "pass",
        LIBC + "assert libc.prctl(3, 0, 0, 0, 0) == 1", isolate=False,
    ),
    "file size": Protection(
        "(resource.RLIMIT_FSIZE, _SCRATCH_BYTES, _SCRATCH_BYTES),", "",
        "open('big', 'wb').write(b'x' * (70 * 2**20))", isolate=False,
    ),
    "descriptors": Protection(
        "(resource.RLIMIT_NOFILE, 64, 64),", "", "kept = [open('/dev/null') for _ in range(100)]"
    ),
    "processes": Protection(
        '(resource.RLIMIT_NPROC, request["processes"], request["processes"]),', "",
        "import os, time\nfor _ in range(40):\n    if os.fork() == 0: time.sleep(60)",
    ),
    "memory": Protection(
        '(resource.RLIMIT_AS, request["memory_bytes"], request["memory_bytes"]),', "",
        "import mmap\nmmap.mmap(-1, 3 * 2**30)",
    ),
    "number of files": Protection(
        ",nr_inodes={_SCRATCH_FILES}", "",
        "for name in range(5000): open(f'/tmp/{{name}}', 'w').close()",
    ),
    "system calls": Protection(
        '_filter_calls(bytes.fromhex(request["filter"]))', "pass", "import os\nos.memfd_create('kept')"
    ),
    "core files": Protection(
        "(resource.RLIMIT_CORE, 0, 0),", "(resource.RLIMIT_CORE, 1, 1),",
        "import resource\nassert resource.getrlimit(resource.RLIMIT_CORE)[0]",
    ),
}  # fmt: skip


@pytest.fixture
def machine() -> Iterator[dict[str, int]]:
    """A listening port, a process and shared memory that programs must not reach."""
    libc, key = ctypes.CDLL(None, use_errno=True), 0x41544C41 ^ os.getpid()
    shared = libc.shmget(key, 4096, 0o1666)  # IPC_CREAT, for everybody
    assert shared >= 0
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield {"port": server.getsockname()[1], "pid": os.getpid(), "shared": shared}
    finally:
        libc.shmctl(shared, 0, None)  # IPC_RMID


@isolated
@pytest.mark.parametrize("name", PROTECTIONS)
def test_a_protection_is_what_keeps_a_program_from_it(name, machine, monkeypatch):
    protection = PROTECTIONS[name]
    program = protection.program.format(**machine)
    assert run_python(program, isolate=protection.isolate) == "failed"
    switch_off(monkeypatch, protection.source, protection.off)
    assert run_python(program, isolate=protection.isolate) == "passed"


def switch_off(monkeypatch: pytest.MonkeyPatch, source: str, off: str) -> None:
    """Run what follows with another text in place of one that the runner's source must contain."""
    assert RUNNER.count(source) == 1
    monkeypatch.setattr(sandbox, "_RUNNER", RUNNER.replace(source, off))


DEATH_SIGNAL = "    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)\n"


@pytest.mark.parametrize("isolate", [pytest.param(True, marks=isolated), False])
@pytest.mark.parametrize("protected", [True, False])
def test_a_program_dies_with_the_process_that_watches_it(isolate, protected, monkeypatch):
    """The watching process may be killed alone, and then no timer of its own ends the program."""
    assert RUNNER.count(DEATH_SIGNAL) == 2
    if not protected:
        monkeypatch.setattr(sandbox, "_RUNNER", RUNNER.replace(DEATH_SIGNAL, ""))
    given = {"code": "import time\ntime.sleep(60)", "names": ()}
    ours, theirs = socket.socketpair()
    with (
        ours,
        theirs,
        sandbox._Sandbox(remote_calls.serve_answer, given, theirs, LIMITS, NO_PACKAGES, isolate) as running,
    ):
        watcher = psutil.Process(running.process.pid)
        assert within(10, lambda: len(watcher.children(recursive=True)) == 2)
        program = watcher.children(recursive=True)
        try:
            watcher.kill()
            assert within(2, lambda: not any(map(is_alive, program))) is protected
        finally:
            for process in filter(is_alive, program):
                process.kill()


def within(seconds: float, happened: Callable[[], bool]) -> bool:
    """Wait until something has happened; False where it has not in time."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_alive(process: psutil.Process) -> bool:
    """Return True for a process that has not ended."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def runners() -> set[int]:
    """Return the processes that run the runner's source."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        if any("program inside the sandbox" in argument for argument in process.info["cmdline"] or ()):
            found.add(process.pid)
    return found
