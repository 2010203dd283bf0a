"""A process's standard error: passed on to ours, kept in a file, and its end remembered."""

from __future__ import annotations

import fcntl
import os
import termios
import threading
import tty
from contextlib import suppress
from pathlib import Path

STDERR = 2
TAIL_BYTES = 2**18
JOIN_TIMEOUT_S = 2.0


class LogCopy:
    """Copies a stream. `open` gives the end that the process writes to; `copy` starts once the process has it.

    Where our standard error is a terminal the process is given one too, so that it draws its progress bars.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = bytearray()
        self._reading = self._writing = -1
        self._thread = threading.Thread(target=self._pump, daemon=True)

    def open(self) -> int:
        """Return the descriptor for the process."""
        if os.isatty(STDERR):
            self._reading, self._writing = os.openpty()
            tty.setraw(self._writing)
            size = fcntl.ioctl(STDERR, termios.TIOCGWINSZ, bytes(8))
            fcntl.ioctl(self._writing, termios.TIOCSWINSZ, size)
        else:
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

    def _pump(self) -> None:
        with self._path.open("ab") as log:
            while data := self._read():
                # A terminal that was closed must not end the run.
                with suppress(OSError):
                    os.write(STDERR, data)
                log.write(data)
                log.flush()
                self._end += data
                del self._end[:-TAIL_BYTES]
        os.close(self._reading)

    def _read(self) -> bytes:
        try:
            return os.read(self._reading, 2**16)
        except OSError:
            # How a terminal says that nobody writes to it any more.
            return b""
