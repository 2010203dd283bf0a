"""The one reader of `nvidia-smi`, which knows the GPUs of a machine without torch or a CUDA context."""

from __future__ import annotations

import re
import shutil
import subprocess

from trainers.problems import ConfigurationError, Problem

TIMEOUT_S = 30.0
GIGABYTE = 10**9
_SLICE = re.compile(r"^\s+MIG \S+?\.(?P<size>\d+)gb\S*\s.*\(UUID: (?P<id>MIG-[^)]+)\)", re.MULTILINE)


def query(*columns: str) -> list[list[str]]:
    """Return the given columns, one row per GPU; no row where there is no driver, or it fails.

    Args:
        columns: names that `nvidia-smi --help-query-gpu` lists. Sizes are numbers of MiB; what a GPU does not tell is
            `[N/A]`.

    Raises:
        ConfigurationError: when the driver does not answer.
    """
    answer = _answer(f"--query-gpu={','.join(columns)}", "--format=csv,noheader,nounits")
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.splitlines()]
    return [row for row in rows if len(row) == len(columns)]


def mig_slices() -> dict[str, int]:
    """Return the bytes of each MIG slice by its id, as its profile names them: 10 GB for `1g.10gb`.

    Raises:
        ConfigurationError: when the driver does not answer.
    """
    return {found["id"]: int(found["size"]) * GIGABYTE for found in _SLICE.finditer(_answer("-L"))}


def _answer(*arguments: str) -> str:
    """Return what `nvidia-smi` prints; nothing where there is no driver, or it fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    command = [program, *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        expected = f"expected an answer within {TIMEOUT_S:g} s: the driver hangs, and with it whatever uses a GPU"
        raise ConfigurationError([Problem(" ".join(command), expected, "restart the driver or the machine")]) from error
    return answer.stdout if answer.returncode == 0 else ""
