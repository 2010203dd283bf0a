"""The lines that a process writes: passed on, kept in a file, and the last of them remembered."""

from __future__ import annotations

import json
import os
import threading
from contextlib import AbstractContextManager, nullcontext, suppress
from io import RawIOBase
from pathlib import Path

from trainers.launch.supervise.chatter import is_chatter
from trainers.launch.supervise.screen import Screen
from trainers.output.files import cannot_write
from trainers.progress import MARK
from trainers.terminal.log_lines import short

STDERR = 2
TAIL_BYTES = 2**18
JOIN_TIMEOUT_S = 2.0


class LogCopy:
    """Copies a stream. `open` gives the end that the process writes to; `copy` starts once the process has it.

    The process sees no terminal, so that its log has no bars. Of a line that was written over, the last state counts.

    Args:
        path: file that keeps all lines but records of progress.
        screen: what shows lines and progress; our own standard error has the lines where there is none.
    """

    def __init__(self, path: Path, screen: Screen | None = None) -> None:
        self._path = path
        self._screen = screen
        self._end = bytearray()
        self._said = False
        self._told = False
        self._reading = self._writing = -1
        self._thread = threading.Thread(target=self._pump, daemon=True)

    def open(self) -> int:
        """Return the descriptor for the process."""
        self._reading, self._writing = os.pipe()
        return self._writing

    def copy(self) -> None:
        """Start copying, until the process and its children have closed their end."""
        os.close(self._writing)
        self._thread.start()

    def close(self) -> None:
        """Wait for the rest; what a child that outlives its parent still writes is not waited for."""
        self._thread.join(JOIN_TIMEOUT_S)

    @property
    def tail(self) -> str:
        """The end of the stream."""
        return bytes(self._end).decode(errors="replace")

    @property
    def said_something(self) -> bool:
        """True once a line was passed on, or progress told."""
        return self._said

    def _pump(self) -> None:
        rest = b""
        with self._opened() as log:
            while data := os.read(self._reading, 2**16):
                *lines, rest = (rest + data).split(b"\n")
                self._keep(b"".join([self._take(line + b"\n") for line in lines]), log)
                if self._screen is not None and b"\r" in rest:
                    self._screen.tell({"note": _last_state(rest).decode(errors="replace")})
            if rest:
                self._keep(self._take(rest), log)
        os.close(self._reading)

    def _opened(self) -> AbstractContextManager[RawIOBase | None]:
        try:
            return self._path.open("ab", buffering=0)
        except OSError as error:
            self._tell(error)
            return nullcontext()

    def _keep(self, lines: bytes, log: RawIOBase | None) -> None:
        """Write lines to the file; what it cannot take is missing there, and the process goes on all the same."""
        rest = memoryview(lines)
        try:
            while log is not None and rest:
                rest = rest[log.write(rest) or 0 :]
        except OSError as error:
            self._tell(error)
        else:
            self._told = self._told and not (log and lines)

    def _tell(self, error: OSError) -> None:
        if not self._told:
            self._told = True
            self._show(f"{cannot_write(self._path, error)}; until then lines are missing there\n".encode())

    def _take(self, line: bytes) -> bytes:
        """Show a line and remember it; return what the file is to have of it."""
        if line.startswith(MARK.encode()):
            self._progress(line)
            return b""
        is_bar = b"\r" in line
        if is_bar:
            line = _last_state(line) + b"\n"
        self._end += line
        del self._end[:-TAIL_BYTES]
        if is_bar and self._screen is not None:
            # It was drawn as it grew.
            self._screen.tell({"note": None})
        elif not is_chatter(line):
            self._show(line)
        return line

    def _show(self, line: bytes) -> None:
        self._said = True
        if self._screen is not None:
            self._screen.line(line.decode(errors="replace").rstrip("\n"))
            return
        # A terminal that was closed must not end the run.
        with suppress(OSError):
            os.write(STDERR, short(line.decode(errors="replace")).encode() if os.isatty(STDERR) else line)

    def _progress(self, line: bytes) -> None:
        # Ranks of a run that was killed may leave half a record.
        with suppress(ValueError):
            record = json.loads(line.decode(errors="replace").removeprefix(MARK))
            self._said = True
            if self._screen is not None:
                self._screen.tell(record)


def _last_state(line: bytes) -> bytes:
    """Return what a terminal would show last of a line that was written over, such as a bar of a library."""
    return line.rstrip(b"\r\n").rpartition(b"\r")[2]
