"""Running untrusted Python: in namespaces of its own where the kernel allows it, always under resource limits."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

logger = logging.getLogger(__name__)

_RUNNER = Path(__file__).with_name("sandbox_runner.py").read_text()
_CANNOT_CONFINE = 70
_FIRST_UID, _UIDS = 1_000_000, 1_000_000
_KILLED_BY_CPU_LIMIT = {(-signal.SIGXCPU) & 0xFF, (-signal.SIGKILL) & 0xFF}
_PROBE = "import math, re, typing, collections, itertools, hashlib, random, heapq\nassert math.sqrt(4) == 2"

Outcome = Literal["passed", "failed", "cpu_limit", "wall_limit", "sandbox_error"]


@dataclass(frozen=True)
class ResourceLimits:
    """Bounds on a program's resources: seconds of CPU time and of wall time, address space, processes."""

    cpu_s: float = 5.0
    wall_s: float = 30.0
    memory_bytes: int = 2 * 2**30
    processes: int = 16


def run_python(program: str, limits: ResourceLimits) -> Outcome:
    """Run a program to its end and say how that went; `passed` when no exception ended it. Blocks.

    The program has no network, no environment, an empty `/tmp` to work in and everything else read-only where the
    kernel offers user namespaces; elsewhere it has resource limits and an empty environment only (logged once). A
    program that exits by itself, with whatever status, has not passed. Code that sets out to fool its own tests from
    inside the interpreter can: this protects the machine, not the verdict.
    """
    return _run(program, limits, isolate=_can_isolate())


@lru_cache(maxsize=1)
def _can_isolate() -> bool:
    if _run(_PROBE, ResourceLimits(), isolate=True) == "passed":
        return True
    logger.warning(
        "this machine does not let us create user and network namespaces: answers' code runs with resource limits and "
        "an empty environment only, but can reach the network and read your files; use verifier=code in a container"
    )
    return False


def _run(program: str, limits: ResourceLimits, *, isolate: bool) -> Outcome:
    token = secrets.token_hex(16)
    request = {
        "program": program,
        "token": token,
        "cpu_s": limits.cpu_s,
        "wall_s": limits.wall_s,
        "memory_bytes": limits.memory_bytes,
        "processes": limits.processes,
        "isolate": isolate,
        # An own user each, so that the limit on processes counts those of one program.
        "uid": _FIRST_UID + secrets.randbelow(_UIDS),
    }
    with tempfile.TemporaryDirectory(prefix="answer-") as directory:
        process = subprocess.Popen(
            [os.path.realpath(sys.executable), "-I", "-S", "-c", _RUNNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=directory,
            env={},
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(json.dumps(request).encode(), timeout=limits.wall_s + 5)
        except subprocess.TimeoutExpired:
            return "wall_limit"
        finally:
            _end(process)
    return _outcome(process.returncode, output.decode(errors="replace"), token)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        logger.debug("sandbox %d had already ended", process.pid)
    process.wait()


def _outcome(status: int, output: str, token: str) -> Outcome:
    if status == -signal.SIGALRM:
        return "wall_limit"
    if status == _CANNOT_CONFINE or status < 0:
        return "sandbox_error"
    if status in _KILLED_BY_CPU_LIMIT:
        return "cpu_limit"
    return "passed" if status == 0 and output == token else "failed"
