"""Writes lessons, each redacted before it reaches the disk."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainers.output.files import told
from trainers.traces.files import LESSONS, MAX_BYTES, NumberedFiles, private_directory
from trainers.traces.redaction import Redactor, hide_secrets, redacted
from trainers.traces.trace import TEXTS, Trace, trace_record

logger = logging.getLogger(__name__)


class TraceRecorder:
    """Writes lessons to a directory, from any thread.

    Nothing that goes wrong here costs anybody an answer: a lesson that cannot be redacted is not written, nor is one
    for which the disk has no room, and the log says so.

    Args:
        directory: where the files are; made if it is not there, for its owner only.
        redact: functions from text to text, through which every text goes before it is written. By default keys and
            e-mail addresses are taken out; an empty list takes out nothing.
        max_bytes: of a file, after which the next one begins.

    Raises:
        ConfigurationError: when the directory cannot be written to.
    """

    def __init__(
        self, directory: str | Path, *, redact: Sequence[Redactor] = (hide_secrets,), max_bytes: int = MAX_BYTES
    ) -> None:
        self._directory = private_directory(Path(directory).expanduser())
        self._redact = tuple(redact)
        self._lessons = NumberedFiles(self._directory, LESSONS, max_bytes)
        self._lock = threading.Lock()

    def record(self, trace: Trace) -> bool:
        """Write a lesson; returns whether it stands in a file."""
        try:
            clean: dict[str, Any] = {name: self._clean(getattr(trace, name)) for name in TEXTS}
        except Exception as error:  # noqa: BLE001 - whatever a redactor of a user raises, and never with the text
            logger.error("lesson %s is not recorded: it cannot be redacted (%s)", trace.id, type(error).__name__)
            return False
        with told(self._directory), self._lock:
            self._lessons.append(trace_record(replace(trace, **clean)))
            return True
        return False

    def _clean(self, text: str | None) -> str | None:
        return None if text is None else redacted(_encodable(text), self._redact)


def _encodable(text: str) -> str:
    """Return a text that a file can hold: some models send halves of characters in pieces of their own."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def conversation_key(*words: str) -> str:
    """Return what stands for a conversation in traces: a digest, since a client's name for it may say who they are."""
    return hashlib.blake2b("\0".join(words).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
