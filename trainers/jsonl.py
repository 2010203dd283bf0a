"""JSON-lines files: one object per line. A line that was cut off when its writer died is no object."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


def as_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the objects as text, a line each."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def append(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append objects by one write, which is on its way to the disk when this returns; makes file and directory.

    Raises:
        OSError: when they cannot be written; then nothing of them is left in the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        rest = memoryview(as_lines(rows).encode())
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            with suppress(OSError):
                file.truncate(size)
            raise


def mend(path: Path) -> int:
    """Cut off what follows the last whole line of a file, and tell of it; return the bytes that were cut off."""
    if not path.is_file():
        return 0
    with path.open("r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        lost = len(content) - whole
        if lost:
            file.truncate(whole)
            logger.warning("%s ended in the middle of a line: its last %d bytes are cut off", path, lost)
    return lost


def whole_rows(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file, without lines that are none; empty when there is no file."""
    if not path.is_file():
        return []
    rows = []
    # Not `splitlines`, which also parts lines at separators inside texts.
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        with suppress(ValueError):
            row = json.loads(line) if line.strip() else None
            if isinstance(row, dict):
                rows.append(row)
    return rows
