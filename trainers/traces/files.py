"""Numbered JSON-lines files of a directory: who writes makes files of its own, and begins a next one in time.

No two writers share a file, and none goes on with a file of an earlier one, so that a line that was cut off when its
writer died stands at the end of a file and takes no other line with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainers import jsonl
from trainers.problems import ConfigurationError, Problem

LESSONS, FEEDBACK = "lessons", "feedback"
MAX_BYTES = 64 * 2**20
_PRIVATE_FILE, _PRIVATE_DIRECTORY = 0o600, 0o700


class NumberedFiles:
    """Appends rows to `DIRECTORY/NAME-000001.jsonl` and so on, readable by their owner only.

    Args:
        directory: where the files are.
        name: what they begin with.
        max_bytes: of a file; a row that would go beyond it begins the next one.
    """

    def __init__(self, directory: Path, name: str, max_bytes: int = MAX_BYTES) -> None:
        self._directory, self._name, self._max_bytes = directory, name, max_bytes
        self._current: Path | None = None

    def append(self, row: Mapping[str, Any]) -> None:
        """Append a row whole.

        Raises:
            OSError: when it cannot be written; then nothing of it is left.
        """
        jsonl.append(self._file(len(jsonl.as_lines([row]).encode())), [row])

    def _file(self, more: int) -> Path:
        current = self._current
        if current is None or not current.is_file() or 0 < current.stat().st_size > self._max_bytes - more:
            self._current = current = self._begun()
        return current

    def _begun(self) -> Path:
        """Make the next file, which nobody else has."""
        number = len(files_of(self._directory, self._name))
        while True:
            number += 1
            path = self._directory / f"{self._name}-{number:06}.jsonl"
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _PRIVATE_FILE))
            except FileExistsError:
                continue
            return path


def files_of(directory: Path, name: str) -> list[Path]:
    """Return the files of one name, the first first."""
    return sorted(directory.glob(f"{name}-[0-9]*.jsonl"))


def rows_of(directory: Path, name: str) -> Iterator[dict[str, Any]]:
    """Yield the whole rows of the files of one name."""
    for path in files_of(directory, name):
        yield from jsonl.whole_rows(path)


def private_directory(path: Path) -> Path:
    """Return a directory in which files can be made, made for its owner only where it was not there.

    Raises:
        ConfigurationError: when it is no directory or cannot be written to.
    """
    try:
        path.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    except OSError as error:
        expected = f"expected a directory to write lessons to ({error.strerror})"
        raise ConfigurationError([Problem(f"record={path}", expected, "name another directory")]) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError([Problem(f"record={path}", "it cannot be written to", "name another, or allow it")])
    return path
