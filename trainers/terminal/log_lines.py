"""Lines of a log: one date format for all programs, and a short form where somebody watches."""

from __future__ import annotations

import logging
import re
import sys

DATE = "%Y-%m-%d %H:%M:%S"
"""Date and local time, wherever people read one; files for programs have ISO 8601 with the zone, or Unix seconds."""
_LINE = "%(asctime)s %(name)s %(message)s"
_OURS = re.compile(r"^\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d) (?:(?:trainers|custom_data)\.(?:\w+\.)*(?=\w))?")
_TALKATIVE = ("httpx", "httpx2")
"""Libraries that tell of every request."""


def log_to_standard_error(level: int = logging.INFO) -> None:
    """Log to standard error from `level` on: whole lines to a file, short ones to a terminal."""
    logging.basicConfig(level=level, format=_LINE, datefmt=DATE)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    if sys.stderr.isatty():
        for handler in logging.getLogger().handlers:
            handler.setFormatter(_ShortLines(_LINE, DATE))


def short(line: str) -> str:
    """Return a line of a log without its date and the package that it is from, and any other line as it is."""
    return _OURS.sub(r"\1 ", line)


class _ShortLines(logging.Formatter):
    """Lines as `short` leaves them."""

    def format(self, record: logging.LogRecord) -> str:
        return short(super().format(record))
