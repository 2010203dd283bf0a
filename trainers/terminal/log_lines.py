"""Lines of a log: one date format for all programs, and short times where somebody watches."""

from __future__ import annotations

import logging
import re
import sys

DATE = "%Y-%m-%d %H:%M:%S"
"""Date and local time, wherever people read one; files for programs have ISO 8601 with the zone, or Unix seconds."""
TIME_ALONE = "%H:%M:%S"
_LINE = "%(asctime)s %(name)s %(message)s"
_DATED = re.compile(r"^\d{4}-\d\d-\d\d (?=\d\d:\d\d:\d\d )")


def log_to_standard_error(level: int = logging.INFO) -> None:
    """Log to standard error from `level` on: with the date in a file, without it on a terminal."""
    shown = TIME_ALONE if sys.stderr.isatty() else DATE
    logging.basicConfig(level=level, format=_LINE, datefmt=shown)


def without_date(line: str) -> str:
    """Return a line of a log as a terminal shows it: with the time alone."""
    return _DATED.sub("", line)
