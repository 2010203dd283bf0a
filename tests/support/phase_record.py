"""A run's own record of what it is doing, and of the moment at which a signal reached it.

The trainer appends a word when a phase begins and when it ends. A signal appends its number as one byte, from the
handler in C: between the words of the phases in which it arrived, however long Python takes to hear of it.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

PHASES, HELD = "phases", "phase-held"
"""The record's file, in the output directory, and one while which is there no phase ends."""
ROLLOUT, WEIGHTS, STEP, SAVE = "rollout", "weight update", "step", "save"
SERVED = (ROLLOUT, WEIGHTS)
"""Phases in which the trainer waits for its servers."""
ASKED = "asked;"
"""Written by a test in place of a signal where the trainer gets none, but a request from its launcher."""
_WORD = re.compile(rf"(?P<begun>[a-z ]+)\(|\)|(?P<signal>{chr(signal.SIGTERM)}|{ASKED})")


def begun(phase: str) -> str:
    """Return the word for the beginning of a phase."""
    return f"{phase}("


ENDED = ")"


def phase(record: str) -> str | None:
    """Return the innermost phase that is open at the end of a record."""
    *_, (last, _) = [(None, False), *_read(record)]
    return last


def phase_of_signal(record: str) -> str | None:
    """Return the phase in which the first signal of a record arrived.

    Raises:
        LookupError: when none arrived.
    """
    for now, is_signal in _read(record):
        if is_signal:
            return now
    raise LookupError(f"no signal in {record[-300:]!r}")


def read(output: Path) -> str:
    """Return the record of a run so far."""
    file = output / PHASES
    return file.read_text(encoding="utf-8") if file.exists() else ""


def note_request(output: Path) -> None:
    """Note in the record of a run, where it keeps one, that its launcher was asked to make room."""
    if (output / PHASES).exists():
        with (output / PHASES).open("a", encoding="utf-8") as record:
            record.write(ASKED)


def _read(record: str) -> Iterator[tuple[str | None, bool]]:
    """Yield the innermost phase after each word, and whether the word was a signal."""
    opened: list[str] = []
    for word in _WORD.finditer(record):
        if word["begun"]:
            opened.append(word["begun"])
        elif not word["signal"] and opened:
            opened.pop()
        yield (opened[-1] if opened else None), bool(word["signal"])
