"""Some 80 ways out of the sandbox, tried as root and as an ordinary user; and what is said of its protections."""

from __future__ import annotations

import errno
import json
import logging
import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.escapes import PRELUDE, programs
from tests.support.sandboxes import isolated, run_python
from trainers.paths import ROOT
from trainers.teaching.verifiers.code import sandbox, system_calls, verifier
from trainers.teaching.verifiers.code.system_calls import DENIED, MACHINES, can_filter, denial_filter

ESCAPES = programs({"port": 0, "pid": 0, "secret": "", "socket": ""})
BECOME = 'exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"'
SHOW = 'mount --bind "$0" /mnt && mount -t tmpfs -o mode=755 none /root && mkdir -p "$0" && mount --move /mnt "$0" && '
"""An interpreter that lies in root's home is shown to others, in a mount namespace of their own."""
IMPOSSIBLE_HERE = {errno.EPERM, errno.ENOSYS, errno.EACCES, errno.ENODEV}
"""Errors of a machine that allows something nobody, as a container does with keyrings."""


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, object]]:
    """A machine with a port, a process, a file and unix sockets that a program outside can reach."""
    directory = tmp_path_factory.mktemp("machine")
    for part in (directory, *directory.parents):
        if part.owner() == "root" and part != Path("/tmp"):
            part.chmod(part.stat().st_mode | 0o055)
    (directory / "secret").write_text("42")
    name = str(directory / "socket")
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        for listener, address in ((unix, name), (abstract, f"\0{name}")):
            listener.bind(address)
            listener.listen(64)
        Path(name).chmod(0o777)
        yield {
            "port": tcp.getsockname()[1],
            "pid": os.getpid(),
            "secret": str(directory / "secret"),
            "socket": name,
        }


def ordinary(command: Sequence[str]) -> list[str]:
    """Return the command line that runs another as an ordinary user."""
    if not Path(sys.executable).resolve().is_relative_to(Path("~root").expanduser()):
        return ["sh", "-c", BECOME, "sh", *command]
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", SHOW + BECOME, sys.base_prefix, *command]


@pytest.fixture(scope="module", params=["root", "ordinary user"])
def outcomes(request: pytest.FixtureRequest, facts: Mapping[str, object]) -> dict[str, str]:
    """Outcomes of all escapes, tried by this user."""
    if os.getuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("being root, and becoming another user, needs root and setpriv")
    with Path(str(facts["secret"])).open() as inherited:
        os.set_inheritable(inherited.fileno(), True)
        command = [sys.executable, "-m", "tests.support.escapes", *map(str, facts.values())]
        done = subprocess.run(
            command if request.param == "root" else ordinary(command),
            cwd=ROOT, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True,
            timeout=900, check=False, close_fds=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout))


@isolated
@pytest.mark.slow
@pytest.mark.parametrize("name", ESCAPES)
def test_there_is_no_way_out(name: str, outcomes: dict[str, str]) -> None:
    assert len(ESCAPES) >= 40
    assert outcomes[name] in ("failed", "cpu_limit", "memory_limit")


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="some of them only root can do anywhere")
def test_outside_of_a_sandbox_each_of_them_does_what_it_says(facts: Mapping[str, object]) -> None:
    """A program with a mistake in it would be taken for one that was stopped."""
    wrong = {}
    with Path(str(facts["secret"])).open() as inherited:
        os.set_inheritable(inherited.fileno(), True)
        for name, escape in programs(facts).items():
            if not escape.outside:
                continue
            told = "\ntry:\n" + "".join(f"    {line}\n" for line in escape.program.splitlines())
            told += f"except OSError as error:\n    sys.exit(75 if error.errno in {IMPOSSIBLE_HERE} else 1)\n"
            command = [sys.executable, "-I", "-c", PRELUDE + told]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, close_fds=False)
            if done.returncode not in (0, 75):
                wrong[name] = done.stderr[-300:]
    assert wrong == {}


@isolated
def test_a_program_that_needs_none_of_it_runs_behind_the_filter() -> None:
    program = (
        "import asyncio, concurrent.futures, os, subprocess, tempfile, threading\n"
        "with concurrent.futures.ThreadPoolExecutor(4) as pool: assert list(pool.map(abs, [-1, 2])) == [1, 2]\n"
        "async def main(): return await asyncio.sleep(0.01, 7)\nassert asyncio.run(main()) == 7\n"
        "with tempfile.TemporaryFile() as file: file.write(b'x')\n"
        "child = os.fork()\nif child == 0: os._exit(3)\nassert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3"
    )
    assert run_python(program, isolate=True) == "passed"
    assert run_python(program, isolate=False) == "passed"


@pytest.mark.skipif(
    os.environ.get("CI") != "true" and not can_filter(), reason="this kernel takes no filters of system calls"
)
@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX"])
def test_without_namespaces_the_filter_keeps_programs_from_the_network(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = f"import socket\nsocket.socket(socket.{family})"
    assert run_python(program, isolate=False) == "failed"
    monkeypatch.setattr(sandbox, "can_filter", lambda: False)
    assert run_python(program, isolate=False) == "passed"


def returned(isolated: bool, machine: str, number: int, *, processor: int | None = None, argument: int = 0) -> int:
    """Interpret the filter as the kernel does; what it returns for a system call."""
    code = list(struct.iter_unpack("=HBBI", denial_filter(isolated, machine)))
    seen = {0: number, 4: MACHINES[machine][1] if processor is None else processor, 16: argument}
    at = value = 0
    while True:
        kind, yes, no, constant = code[at]
        if kind == 0x06:
            return constant
        if kind == 0x20:
            value, at = seen[constant], at + 1
            continue
        holds = {0x15: value == constant, 0x35: value >= constant, 0x45: bool(value & constant)}[kind]
        at += 1 + (yes if holds else no)


ALLOWED, REFUSED, ABSENT, KILLED = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS, 0x80000000


@pytest.mark.parametrize("machine", MACHINES)
def test_the_filter_refuses_what_it_lists_and_nothing_else(machine: str) -> None:
    column = MACHINES[machine][0]
    clone, socket_call, ordinary = ((56, 41, (0, 1, 9, 57, 59, 60, 53)), (220, 198, (63, 64, 222, 221, 93, 199)))[
        column
    ]
    for isolation in (True, False):
        assert {returned(isolation, machine, numbers[column]) for numbers in DENIED.values()} == {REFUSED}
        assert {returned(isolation, machine, number) for number in ordinary} == {ALLOWED}
        assert returned(isolation, machine, 435) == ABSENT
        assert returned(isolation, machine, clone, argument=0x01200011) == ALLOWED
        assert returned(isolation, machine, clone, argument=0x3D0F00) == ALLOWED  # a thread
        for bit in (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
            assert returned(isolation, machine, clone, argument=bit | 17) == REFUSED
        assert returned(isolation, machine, 0x40000000 + 1) == REFUSED
        assert returned(isolation, machine, ordinary[0], processor=0x40000003) == KILLED
    assert [returned(True, machine, socket_call, argument=family) == ALLOWED for family in (1, 2, 10, 16, 17, 40)] == [
        *(True, True, True),
        *(False, False, False),
    ]
    assert {returned(False, machine, socket_call, argument=family) for family in (1, 2, 10, 16, 17, 40)} == {REFUSED}


def test_a_processor_whose_numbers_are_unknown_gets_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    assert denial_filter(True, "riscv64") == b""
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    system_calls.can_filter.cache_clear()
    assert not can_filter()
    system_calls.can_filter.cache_clear()


@pytest.mark.parametrize(("namespaces", "calls"), [(True, True), (True, False), (False, True), (False, False)])
def test_what_protects_is_said_once_at_the_start(
    namespaces: bool, calls: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sandbox, "_can_isolate", lambda: namespaces)
    monkeypatch.setattr(sandbox, "can_filter", lambda: calls)
    verifier._tell_protections.cache_clear()
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            verifier.CodeVerifier().close()
    verifier._tell_protections.cache_clear()
    [told] = [record.getMessage() for record in caplog.records if "answers' code runs behind" in record.getMessage()]
    assert "limits of time, memory, processes and files, an empty environment" in told
    assert ("a filter of system calls" in told) is calls
    assert ("no network" in told) is namespaces
