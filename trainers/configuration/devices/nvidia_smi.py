"""The one reader of `nvidia-smi`, which knows the GPUs of a machine without torch or a CUDA context."""

from __future__ import annotations

import shutil
import subprocess

from trainers.problems import ConfigurationError, Problem

TIMEOUT_S = 30.0


def query(*columns: str) -> list[list[str]]:
    """Return the given columns, one row per GPU; no row where there is no driver, or it fails.

    Args:
        columns: names that `nvidia-smi --help-query-gpu` lists. Sizes are numbers of MiB; what a GPU does not tell is
            `[N/A]`.

    Raises:
        ConfigurationError: when the driver does not answer.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={','.join(columns)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        expected = f"expected an answer within {TIMEOUT_S:g} s: the driver hangs, and with it whatever uses a GPU"
        raise ConfigurationError([Problem(" ".join(command), expected, "restart the driver or the machine")]) from error
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines()]
    return [row for row in rows if len(row) == len(columns)] if answer.returncode == 0 else []
