"""JSON-lines files: one object per line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def as_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the objects as text, a line each."""
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def append(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append objects by one write, which is on its way to the disk when this returns; makes file and directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(as_lines(rows))
