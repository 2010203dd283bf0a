"""Disks that fail at a chosen call, slow ones, and clocks that jump: by a library in front of the C library."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")


@pytest.fixture(scope="session")
def faulty_libc(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the library, for `LD_PRELOAD`; compiled once a session."""
    library = tmp_path_factory.mktemp("faulty") / "faulty_libc.so"
    command = ["gcc", "-O1", "-w", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        assert not os.environ.get("CI"), "CI needs gcc for these tests"
        pytest.skip("no gcc to compile the library with")
    return str(library)


def failing(library: str, below: Path, error: int, after: int = 0, count: int = -1) -> dict[str, str | None]:
    """Return the environment in which some calls that write below a directory fail, in each process for itself."""
    return {
        "LD_PRELOAD": library,
        "FAULTY_BELOW": str(below),
        "FAULTY_ERRNO": str(error),
        "FAULTY_AFTER": str(after),
        "FAULTY_COUNT": str(count),
    }


def slow(library: str, below: Path, seconds: float) -> dict[str, str | None]:
    """Return the environment in which each call that writes below a directory takes some seconds."""
    return {"LD_PRELOAD": library, "FAULTY_BELOW": str(below), "FAULTY_SLOW_US": str(round(seconds * 1e6))}


def jumping(library: str, by_s: int, after_s: int) -> dict[str, str | None]:
    """Return the environment in which the wall clock jumps, seconds after a process started."""
    return {"LD_PRELOAD": library, "FAULTY_JUMP_S": str(by_s), "FAULTY_JUMP_AFTER_S": str(after_s)}
