"""Feedback on recorded lessons, written beside them: the last word on each counts."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from trainers.output.files import cannot_write
from trainers.traces.files import FEEDBACK, LESSONS, files_of, rows_of
from trainers.traces.redacted_files import RedactedFiles
from trainers.traces.trace import lesson_id

logger = logging.getLogger(__name__)


class UnknownLessonError(LookupError):
    """Feedback for a lesson that is not recorded; the message says so."""


class FeedbackLostError(RuntimeError):
    """Feedback that could not be written; the log says why."""


@dataclass(frozen=True)
class Feedback:
    """Somebody's word on a lesson.

    Args:
        id: of the lesson.
        score: from 0, it did not help, to 1.
        comment: in words; empty for none.
        time: when it was said, in ISO 8601 and UTC.
    """

    id: str
    score: float
    comment: str = ""
    time: str = ""


class FeedbackBox(RedactedFiles):
    """Takes feedback on the lessons that stand in its directory."""

    name = FEEDBACK

    @cached_property
    def _known(self) -> _KnownLessons:
        return _KnownLessons(self.directory)

    def give(self, answer: str, score: float, comment: str = "") -> Feedback:
        """Write down what somebody says of a lesson, named by its id or that of its answer.

        Raises:
            ValueError: when the score is not from 0 to 1.
            UnknownLessonError: when no such lesson is recorded here.
            FeedbackLostError: when it cannot be redacted or written.
        """
        if not 0 <= score <= 1:
            raise ValueError(f"score={score}: expected a number from 0, it did not help, to 1")
        lesson = lesson_id(answer)
        with self._lock:
            known = lesson in self._known
        if not known:
            raise UnknownLessonError(f"There is no recorded lesson {answer!r} here.")
        given = Feedback(lesson, score, self._clean(lesson, comment), datetime.now(UTC).isoformat())
        try:
            self.append(asdict(given))
        except OSError as error:
            logger.error("%s", cannot_write(self.directory, error))
            raise FeedbackLostError from error
        return given

    def _clean(self, lesson: str, comment: str) -> str:
        try:
            return self.clean(comment)
        except Exception as error:  # noqa: BLE001 - whatever a redactor of a user raises, and never with the text
            logger.error("feedback on %s is lost: it cannot be redacted (%s)", lesson, type(error).__name__)
            raise FeedbackLostError from None


def latest_feedback(directory: Path) -> dict[str, Feedback]:
    """Return the last feedback on each lesson of a directory, by the lesson's id."""
    latest: dict[str, Feedback] = {}
    for row in rows_of(directory, FEEDBACK):
        with suppress(KeyError, TypeError, ValueError):
            given = Feedback(
                str(row["id"]), float(row["score"]), str(row.get("comment") or ""), str(row.get("time") or "")
            )
            if given.id not in latest or latest[given.id].time <= given.time:
                latest[given.id] = given
    return latest


class _KnownLessons:
    """The ids of a directory's lessons, whoever writes them; what was read once is not read again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ids: set[str] = set()
        self._read: dict[Path, int] = {}

    def __contains__(self, lesson: str) -> bool:
        if lesson not in self._ids:
            for path in files_of(self._directory, LESSONS):
                self._go_on(path)
        return lesson in self._ids

    def _go_on(self, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(self._read.get(path, 0))
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read[path] = self._read.get(path, 0) + len(line)
                with suppress(ValueError, AttributeError):
                    self._ids.add(str(json.loads(line).get("id")))
