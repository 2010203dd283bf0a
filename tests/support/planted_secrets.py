"""Secrets that a run finds in its environment, and where they could turn up: files, and command lines of processes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from trainers.concurrency.threads import repeating

PLANTED = {
    "WANDB_API_KEY": "0" * 40,
    "OPENAI_API_KEY": "sk-planted-openai",
    "HF_TOKEN": "hf_planted",
    "ATLAS_RUN_TOKEN": "planted-token-of-the-run",
    "ATLAS_SERVE_KEY": "planted-key-of-the-service",
    "KEY_OF_ONES_OWN": "planted-key-of-ones-own",
}
LOOK_EVERY_S = 0.2


def secrets_in(text: bytes) -> list[str]:
    """Return the names of the planted secrets that a text holds."""
    return [name for name, secret in PLANTED.items() if secret.encode() in text]


def files_with_secrets(directory: Path) -> dict[str, list[str]]:
    """Return the files below a directory that hold planted secrets, with the names of those."""
    found = {str(path): secrets_in(path.read_bytes()) for path in directory.rglob("*") if path.is_file()}
    return {path: names for path, names in found.items() if names}


@contextmanager
def command_lines(of: Sequence[subprocess.Popen[str]]) -> Iterator[set[str]]:
    """Collect the command lines of some processes and all that they start, for as long as one is inside."""
    seen: set[str] = set()

    def look() -> None:
        for head in of:
            seen.update(_lines_of(head.pid))

    with repeating(look, LOOK_EVERY_S):
        yield seen


def _lines_of(pid: int) -> Iterator[str]:
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            yield " ".join(process.cmdline())
        except psutil.Error:
            continue
