"""The reason for which a launch ended, in a file for whoever started it: a sweep tells so of many at once."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from trainers.output.files import told, write_whole

END_FILE = "ATLAS_END_FILE"
"""Environment variable by which the file is named."""
_ERROR = re.compile(r"^(?:\[rank\d+\]: ?)?((?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b(?::.*)?)$", re.MULTILINE)
_ABOUT_A_PROCESS = ("subprocess.CalledProcessError", "torch.distributed.elastic")
"""Errors that only say that another process failed."""


@dataclass(frozen=True)
class EndRecord:
    """The end of a launch.

    Args:
        status: with which it ended.
        why: in one line.
        log: file with the rest, where there is one.
    """

    status: int
    why: str
    log: str | None = None


def record_end(status: int, why: str, log: Path | None = None) -> None:
    """Write down what ends this launch, if it was started by somebody who asks."""
    path = os.environ.get(END_FILE)
    if path:
        with told(Path(path)):
            write_end(Path(path), EndRecord(status, " ".join(why.split()), str(log) if log else None))


def write_end(path: Path, record: EndRecord) -> None:
    """Write a record."""
    write_whole(path, json.dumps(asdict(record)))


def read_end(path: Path) -> EndRecord | None:
    """Return a record; `None` where there is none that can be read."""
    try:
        return EndRecord(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def last_error(text: str) -> str | None:
    """Return the error that the end of a log names last, `None` when it names none."""
    found = [error for error in _ERROR.findall(text) if not error.startswith(_ABOUT_A_PROCESS)]
    return found[-1] if found else None
