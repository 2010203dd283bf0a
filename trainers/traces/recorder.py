"""Writes lessons, each redacted before it reaches the disk."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from typing import Any

from trainers.output.files import told
from trainers.traces.files import LESSONS
from trainers.traces.redacted_files import RedactedFiles
from trainers.traces.trace import TEXTS, Trace, trace_record

logger = logging.getLogger(__name__)


class TraceRecorder(RedactedFiles):
    """Writes lessons.

    Nothing that goes wrong here costs anybody an answer: a lesson that cannot be redacted is not written, nor is one
    for which the disk has no room, and the log says so.
    """

    name = LESSONS

    def record(self, trace: Trace) -> bool:
        """Write a lesson; returns whether it stands in a file."""
        texts = {name: text for name in TEXTS if (text := getattr(trace, name)) is not None}
        try:
            clean: dict[str, Any] = {name: self.clean(text) for name, text in texts.items()}
        except Exception as error:  # noqa: BLE001 - whatever a redactor of a user raises, and never with the text
            logger.error("lesson %s is not recorded: it cannot be redacted (%s)", trace.id, type(error).__name__)
            return False
        with told(self.directory):
            self.append(trace_record(replace(trace, **clean)))
            return True
        return False


def conversation_key(*words: str) -> str:
    """Return what stands for a conversation in traces: a digest, since a client's name for it may say who they are."""
    return hashlib.blake2b("\0".join(words).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
