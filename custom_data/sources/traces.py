"""Traces of a teacher in use as rows: lessons of ours and sessions of atlas-sdk, with what people said of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from custom_data.rows.bad_rows import BadRowError
from custom_data.sources.atlas_sessions import is_session, read_session
from custom_data.sources.file_rows import Placed, read_lines
from custom_data.sources.used_lessons import UsedLesson
from trainers.traces.feedback import Feedback, latest_feedback
from trainers.traces.files import FEEDBACK

TRAINING, HELDOUT, ALL = "train", "heldout", "all"
"""Splits of a directory of traces."""


@dataclass(frozen=True)
class TraceChoice:
    """Which lessons are read.

    Args:
        examples: read lessons as examples of teaching, which need a teaching; else as questions.
        min_score: the least score, which a lesson then must have; `None` for any or none.
        approved: whether only approved ones are.
        students: names of their students; empty for all.
        heldout_share: share of the conversations that are held out.
    """

    examples: bool
    min_score: float | None = None
    approved: bool = False
    students: tuple[str, ...] = ()
    heldout_share: float = 0.1

    def refusal(self, lesson: UsedLesson) -> str | None:
        """Return why a lesson is left out; `None` for one that is read."""
        if self.examples and (not lesson.teaching or lesson.failure):
            return "without a teaching that was used to its end"
        if self.students and lesson.student not in self.students:
            return "of other students"
        if self.min_score is not None and (lesson.score is None or lesson.score < self.min_score):
            return f"without a score of {self.min_score:g} or more"
        if self.approved and not lesson.approved:
            return "not approved"
        return None


@dataclass(frozen=True)
class TraceFiles:
    """The traces at a path, and what was chosen of them.

    Args:
        path: a directory of JSON lines, or one file.
        choice: which lessons are read.
        heldout: conversations that are held out.
        left_out: lessons that were not chosen, by the reason.
        feedback: what people said, by the lesson's id.
    """

    path: Path
    choice: TraceChoice
    heldout: frozenset[str]
    left_out: Counter[str]
    feedback: Mapping[str, Feedback]

    @classmethod
    def find(cls, path: Path, choice: TraceChoice) -> TraceFiles:
        """Look through the traces at a path once, for what is chosen and which conversations there are."""
        feedback = latest_feedback(path if path.is_dir() else path.parent)
        left_out: Counter[str] = Counter()
        conversations = set()
        for file in trace_files(path):
            for _, row in lessons_of(file, feedback):
                if isinstance(row, BadRowError):
                    continue
                if reason := choice.refusal(row):
                    left_out[reason] += 1
                else:
                    conversations.add(row.conversation)
        return cls(path, choice, held_out(conversations, choice.heldout_share), left_out, feedback)

    def rows(self, file: Path, split: str) -> Iterator[Placed]:
        """Yield the chosen rows of a file that a split has; rows that cannot be read are in every split."""
        for number, lesson in lessons_of(file, self.feedback):
            if isinstance(lesson, BadRowError):
                yield number, lesson
            elif self.choice.refusal(lesson) is None and self._in(split, lesson):
                yield from ((number, row) for row in as_rows(lesson, examples=self.choice.examples))

    def readers(self, split: str) -> list[tuple[Path, Callable[[], Iterator[Placed]], str]]:
        """Return for each file its path, what reads it, and what changes when its rows may have changed."""
        return [(file, partial(self.rows, file, split), self._identity(file, split)) for file in trace_files(self.path)]

    def _in(self, split: str, lesson: UsedLesson) -> bool:
        return split == ALL or (lesson.conversation in self.heldout) == (split == HELDOUT)

    def _identity(self, file: Path, split: str) -> str:
        state = file.stat()
        words = (self.choice, sorted(self.heldout), sorted(self.feedback.items()))
        digest = hashlib.blake2b(repr(words).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return f"{file.resolve()}:{state.st_size}:{state.st_mtime_ns}:{split}:{digest}"


def trace_files(path: Path) -> list[Path]:
    """Return the files with traces at a path, feedback aside."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.glob("*.jsonl") if not file.name.startswith(f"{FEEDBACK}-"))


def lessons_of(file: Path, feedback: Mapping[str, Feedback]) -> Iterator[tuple[int, UsedLesson | BadRowError]]:
    """Yield the lessons of a file with their lines, and a `BadRowError` for what is none.

    A last line that is still being written, or that its writer never ended, is no row.
    """
    whole = _ends_whole(file)
    before: Placed | None = None
    for placed in read_lines(file):
        if before is not None:
            yield before[0], _lesson(before[1], feedback)
        before = placed
    if before is not None and (whole or not isinstance(before[1], BadRowError)):
        yield before[0], _lesson(before[1], feedback)


def held_out(conversations: set[str], share: float) -> frozenset[str]:
    """Return the conversations that are held out: the same ones however many others come later.

    Each is held out by a hash of its own. Where that holds out none of several, it is the one that comes nearest.
    """
    if not share:
        return frozenset()
    chosen = {conversation for conversation in conversations if _place(conversation) < share}
    if not chosen and len(conversations) > 1:
        chosen = {min(conversations, key=_place)}
    return frozenset(chosen)


def as_rows(lesson: UsedLesson, *, examples: bool) -> Iterator[dict[str, Any]]:
    """Yield a lesson under the names that datasets have: as one question, or as an example of each teaching in it."""
    if not examples:
        truth = {} if lesson.ground_truth is None else {"ground_truth": lesson.ground_truth}
        yield {"question": lesson.question, "lesson": lesson.id, **truth}
        return
    yield _example(lesson.question, lesson.approach, lesson.thinking, lesson.teaching)
    if lesson.second_teaching:
        # The teacher was asked for it with what the student had done in place of its approach.
        yield _example(lesson.question, lesson.transcript, lesson.second_thinking, lesson.second_teaching)


def _example(question: Any, approach: Any, thinking: Any, teaching: Any) -> dict[str, Any]:
    return {
        "question": question,
        "student_approach": approach,
        "teacher_diagnosis": thinking,
        "teacher_teaching": teaching,
    }


def _lesson(row: Any, feedback: Mapping[str, Feedback]) -> UsedLesson | BadRowError:
    if isinstance(row, BadRowError):
        return row
    lesson = read_session(row) if is_session(row) else _ours(row)
    if not isinstance(lesson.question, str) or not lesson.question.strip():
        return BadRowError("no question")
    given = feedback.get(lesson.id)
    return lesson if given is None else lesson.scored(given.score)


def _ours(row: Mapping[str, Any]) -> UsedLesson:
    ident, conversation = row.get("id"), row.get("conversation")
    return UsedLesson(
        id=str(ident or ""),
        conversation=str(conversation or ident or row.get("question")),
        student=str(row.get("student") or ""),
        question=row.get("question"),
        approach=row.get("approach") or "",
        thinking=row.get("thinking") or "",
        teaching=row.get("teaching"),
        ground_truth=row.get("ground_truth"),
        failure=row.get("failure"),
        transcript=row.get("transcript") or "",
        second_thinking=row.get("second_thinking") or "",
        second_teaching=row.get("second_teaching"),
    )


def _place(conversation: str) -> float:
    """Return a number from 0 to 1 that stands for a conversation."""
    digest = hashlib.blake2b(conversation.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _ends_whole(file: Path) -> bool:
    with file.open("rb") as content:
        size = content.seek(0, 2)
        content.seek(max(0, size - 1))
        return content.read(1) in (b"", b"\n")
