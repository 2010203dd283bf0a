"""Running an answer and its tests: two confined processes that share nothing but a socket."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from trainers.teaching.verifiers.code import case_runs, remote_calls
from trainers.teaching.verifiers.code.packages import NO_PACKAGES, Packages
from trainers.teaching.verifiers.code.process_memory import resident_bytes
from trainers.teaching.verifiers.code.row_tests import RowTests
from trainers.teaching.verifiers.code.system_calls import can_filter, denial_filter

logger = logging.getLogger(__name__)

_RUNNER = Path(__file__).with_name("sandbox_runner.py").read_text()
_MODULES = {
    module: Path(__file__).with_name(f"{module.rpartition('.')[2]}.py").read_text()
    for module in (remote_calls.__name__, case_runs.__name__)
}
_CANNOT_CONFINE = 70
_FIRST_UID, _UIDS = 1_000_000, 1_000_000
_KILLED_BY_CPU_LIMIT = {(-signal.SIGXCPU) & 0xFF, (-signal.SIGKILL) & 0xFF}
_SHARED_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
PRELUDE = (
    "import bisect, collections, functools, heapq, itertools, json, math, operator, random, re, string, sys\n"
    "from bisect import *\nfrom collections import *\nfrom functools import *\nfrom heapq import *\n"
    "from itertools import *\nfrom math import *\nfrom typing import *\nfrom builtins import *\n"
)
"""Imports that a function may take for granted, as the judges have them that give it a beginning with `List[int]`."""
_PROBE = "import math, re, typing, collections, itertools, hashlib, random, heapq\nassert math.sqrt(4) == 2"
_MEMORY_INTERVAL_S = 0.1
_LAST_WORDS_S = 2.0

_InSandbox = Callable[[dict[str, Any], socket.socket], None]
Outcome = Literal["passed", "failed", "cpu_limit", "wall_limit", "memory_limit", "sandbox_error"]


@dataclass(frozen=True)
class ResourceLimits:
    """Bounds on an answer: seconds of CPU time and of wall time, memory of all its processes together, processes."""

    cpu_s: float = 5.0
    wall_s: float = 20.0
    memory_bytes: int = 2 * 2**30
    processes: int = 16


def run_tests(code: str, tests: RowTests, limits: ResourceLimits, packages: Packages = NO_PACKAGES) -> Outcome:
    """Run a row's tests on what an answer's code defines; `passed` when all of them ran and none raised. Blocks.

    Either has a process of its own, with no network, no environment, an empty `/tmp`, and nothing of the machine's
    files but the interpreter, its library and `packages`, where the kernel offers namespaces; elsewhere it has resource
    limits and an empty environment only (logged once). System calls that no answer needs are refused where the kernel
    filters them. The tests call the answer's functions over a socket with plain
    values and compare by themselves, so that the answer reaches neither the tests nor what they expect. A program that
    is tested by what it prints is run anew for every input, each with the CPU time of the limits.
    """
    return _run(code, tests, limits, packages, isolate=_can_isolate())


@dataclass(frozen=True)
class FunctionCall:
    """A call of a function of a module: by the module's source, with arguments that JSON can carry.

    Without arguments the module is only run.
    """

    source: str
    name: str
    arguments: Mapping[str, Any] | None
    max_characters: int


@dataclass(frozen=True)
class FunctionOutcome:
    """The text that came of a call, and how many characters more there were; or why there is none."""

    outcome: Literal["result", "error", "limit", "sandbox_error"]
    text: str = ""
    left_out: int = 0


def run_function(asked: FunctionCall, limits: ResourceLimits, packages: Packages = NO_PACKAGES) -> FunctionOutcome:
    """Call a function in a process confined as an answer's is (`run_tests`), within the limits. Blocks."""
    ours, theirs = socket.socketpair()
    given = {
        "source": asked.source,
        "name": asked.name,
        "arguments": None if asked.arguments is None else dict(asked.arguments),
        "max_characters": asked.max_characters,
    }
    with ours, theirs, _Sandbox(remote_calls.answer_call, given, theirs, limits, packages, _can_isolate()) as sandbox:
        theirs.close()
        # A character takes at most six bytes, two of them for half of a pair of surrogates.
        said = _heard(ours, limits.wall_s, 12 * asked.max_characters + 1024)
        try:
            kind, text, left_out = json.loads(said)
            return FunctionOutcome("result" if kind == "result" else "error", str(text), int(left_out))
        except (TypeError, ValueError):
            pass
        try:
            confined = sandbox.process.wait(_LAST_WORDS_S) != _CANNOT_CONFINE
        except subprocess.TimeoutExpired:
            confined = True
    return FunctionOutcome("limit" if confined else "sandbox_error")


def _heard(channel: socket.socket, seconds: float, most: int) -> bytes:
    """Return what is sent until the other end closes, the time is over, or it is too much."""
    deadline, parts, size = time.monotonic() + seconds, list[bytes](), 0
    while size <= most:
        channel.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            part = channel.recv(2**16)
        except (TimeoutError, ConnectionError):
            return b""
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)


@lru_cache(maxsize=1)
def _can_isolate() -> bool:
    if _run(_PROBE, RowTests("", "", ()), ResourceLimits(), NO_PACKAGES, isolate=True) == "passed":
        return True
    reached = "read your files" if can_filter() else "reach the network and read your files"
    logger.warning(
        "this machine does not let us create user and network namespaces: answers' code runs with resource limits and "
        "an empty environment only, but can %s; use verifier=code in a container",
        reached,
    )
    return False


def protections() -> str:
    """Return what this kernel protects the machine with from answers' code, in words; tries it out once."""
    found = ["limits of time, memory, processes and files", "an empty environment"]
    if can_filter():
        found.append("a filter of system calls")
    if _can_isolate():
        found.append("no network, no process and no file of the machine but the interpreter's library")
    return ", ".join(found)


def _run(code: str, tests: RowTests, limits: ResourceLimits, packages: Packages, *, isolate: bool) -> Outcome:
    ends = socket.socketpair()
    with ExitStack() as stack:
        for end in ends:
            stack.callback(end.close)
        ways = _ways(code, tests)
        answer, testing = (
            stack.enter_context(_Sandbox(*way, end, limits, packages, isolate))
            for way, end in zip(ways, ends, strict=True)
        )
        for end in ends:
            end.close()
        stopped = _wait(testing, answer, limits)
        return stopped or _outcome(testing, answer)


def _ways(code: str, tests: RowTests) -> tuple[tuple[_InSandbox, Mapping[str, Any]], ...]:
    """Return the functions that run in the sandbox of the answer and in that of its tests, with what they are given."""
    if tests.cases is None:
        given = {"setup": tests.setup, "tests": tests.program, "names": tests.names}
        return (remote_calls.serve_answer, {"code": code, "names": tests.names}), (remote_calls.run_tests, given)
    pairs = {"pairs": tests.cases.pairs}
    if tests.cases.function is None:
        return (case_runs.serve_program, {"code": code}), (case_runs.check_programs, pairs)
    calls = {"function": tests.cases.function, **pairs}
    return (remote_calls.serve_answer, {"code": PRELUDE + code, "names": tests.names}), (case_runs.check_calls, calls)


class _Sandbox:
    """One confined process, ended with all that it started when the context is left."""

    def __init__(
        self,
        function: _InSandbox,
        given: Mapping[str, Any],
        channel: socket.socket,
        limits: ResourceLimits,
        packages: Packages,
        isolate: bool,
    ) -> None:
        self._token = secrets.token_hex(16)
        request = {
            "modules": list(_MODULES.items()),
            "function": f"{function.__module__}.{function.__name__}",
            "given": given,
            "channel": channel.fileno(),
            "token": self._token,
            "cpu_s": limits.cpu_s,
            "wall_s": limits.wall_s + 5,
            "memory_bytes": limits.memory_bytes,
            "processes": limits.processes,
            "isolate": isolate,
            "filter": denial_filter(isolate).hex() if can_filter() else "",
            # An own user each, so that the limit on processes counts those of one program.
            "uid": _FIRST_UID + secrets.randbelow(_UIDS),
            **_paths(),
            "packages": packages.paths,
            "package_paths": packages.directories,
        }
        self._directory = tempfile.TemporaryDirectory(prefix="answer-")
        self.process = subprocess.Popen(
            [os.path.realpath(sys.executable), "-I", "-S", "-c", _RUNNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._directory.name,
            env={},
            start_new_session=True,
            pass_fds=[channel.fileno()],
        )
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode())
            self.process.stdin.close()
        except BrokenPipeError:
            logger.debug("sandbox %d ended before it was told what to do", self.process.pid)

    def __enter__(self) -> _Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            logger.debug("sandbox %d had already ended", self.process.pid)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._directory.cleanup()

    def returned(self) -> bool:
        """True when the process, which has ended, came to its end by itself."""
        assert self.process.stdout is not None
        return self.process.returncode == 0 and self.process.stdout.read() == self._token.encode()


def _wait(testing: _Sandbox, answer: _Sandbox, limits: ResourceLimits) -> Outcome | None:
    """Wait for the tests to end, and then for the answer, which ends without them; name the limit that stopped it."""
    deadline, process = time.monotonic() + limits.wall_s, testing.process
    while True:
        try:
            process.wait(_MEMORY_INTERVAL_S)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                return "wall_limit" if process is testing.process else None
            if resident_bytes(answer.process.pid) > limits.memory_bytes:
                return "memory_limit"
        else:
            if process is answer.process:
                return None
            deadline, process = time.monotonic() + _LAST_WORDS_S, answer.process


def _outcome(testing: _Sandbox, answer: _Sandbox) -> Outcome:
    if testing.returned():
        return "passed"
    statuses = [testing.process.returncode, answer.process.poll()]
    if _CANNOT_CONFINE in statuses:
        return "sandbox_error"
    return "cpu_limit" if _KILLED_BY_CPU_LIMIT & set(statuses) else "failed"


@lru_cache(maxsize=1)
def _paths() -> dict[str, list[str]]:
    """Return what of the machine a program may see, and what below that it may not: other packages."""
    library = os.path.dirname(os.__file__)  # noqa: PTH120 - what the interpreter itself says, unresolved
    real = os.path.realpath(library)
    visible = dict.fromkeys([*_SHARED_LIBRARIES, library, real])
    # Libraries that an interpreter brings along lie beside its standard library.
    beside = sysconfig.get_config_var("LIBDIR")
    if beside and real.startswith(f"{beside}/") and not beside.startswith(("/usr/lib", "/lib")):
        visible = dict.fromkeys([*_SHARED_LIBRARIES, beside, *([library] if library != real else [])])
    hidden = [f"{path}/{name}" for path in (library, real) for name in ("site-packages", "dist-packages")]
    return {"visible": list(visible), "hidden": [*dict.fromkeys(hidden), "/usr/lib/python3/dist-packages"]}
