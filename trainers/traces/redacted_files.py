"""Rows in numbered files of a directory, whose texts are redacted before they reach the disk."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from trainers.traces.files import MAX_BYTES, NumberedFiles, private_directory
from trainers.traces.redaction import Redactor, hide_secrets, redacted


class RedactedFiles:
    """Writes rows of one kind to a directory, from any thread.

    Args:
        directory: where the files are; made if it is not there, for its owner only.
        redact: functions from text to text, through which every text goes before it is written. By default keys and
            e-mail addresses are taken out; an empty list takes out nothing.
        max_bytes: of a file, after which the next one begins.

    Raises:
        ConfigurationError: when the directory cannot be written to.
    """

    name: ClassVar[str]
    """Return the beginning of the files' names."""

    def __init__(
        self, directory: str | Path, *, redact: Sequence[Redactor] = (hide_secrets,), max_bytes: int = MAX_BYTES
    ) -> None:
        self.directory = private_directory(Path(directory).expanduser())
        self._redact = tuple(redact)
        self._files = NumberedFiles(self.directory, self.name, max_bytes)
        self._lock = threading.Lock()

    def clean(self, text: str) -> str:
        """Return a text as it may be written, which a file can hold.

        Raises:
            Exception: whatever a redactor raises.
        """
        return redacted(_encodable(text), self._redact)

    def append(self, row: Mapping[str, Any]) -> None:
        """Append a row whole, whose texts are clean.

        Raises:
            OSError: when it cannot be written; then nothing of it is left.
        """
        with self._lock:
            self._files.append(row)


def _encodable(text: str) -> str:
    """Return a text that a file can hold: some models send halves of characters in pieces of their own."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
