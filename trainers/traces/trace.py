"""One lesson of a teacher in use, as it is written down."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FORMAT = 1
"""Of the objects below; to be raised when readers of the former one would misread or reject them."""

_SPOKEN_ID = re.compile(r"(?:chatcmpl-|cmpl-|resp_)+")
"""Beginning of an answer's id, in the forms in which clients ask; what follows is the id of its lesson."""


@dataclass(frozen=True)
class Trace:
    """A lesson in use: what was asked, what the teacher made of it, and what the student then said.

    Args:
        id: of the lesson; unique.
        conversation: what lessons of one conversation share.
        student: name of the model that answers.
        teacher: name of the model that teaches.
        question: what was asked.
        approach: what the student said it would do; empty where it was not asked.
        thinking: the teacher's own.
        teaching: what it told the student; `None` where it told nothing.
        taught: the answer after the teaching; `None` where there was none.
        baseline: the answer without one; `None` where the student was not asked for it.
        ground_truth: the right answer, where it is known.
        failure: why there was no teaching, or `incomplete` where the answer broke off.
        time: when the lesson began, in ISO 8601 and UTC.
        seconds: of its stages, by name: `guidance` and `answer`.
        transcript: what the student had done when the teacher spoke once more; `None` where it spoke once.
        second_thinking: what the teacher thought then.
        second_teaching: what it told the student then; `None` also where it told nothing more.
    """

    id: str
    conversation: str
    student: str
    teacher: str
    question: str
    approach: str
    thinking: str
    teaching: str | None
    taught: str | None
    baseline: str | None = None
    ground_truth: str | None = None
    failure: str | None = None
    time: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    transcript: str | None = None
    second_thinking: str | None = None
    second_teaching: str | None = None


OF_SECOND_TEACHING = ("transcript", "second_thinking", "second_teaching")
TEXTS = (
    *("student", "teacher", "question", "approach", "thinking", "teaching", "taught", "baseline", "ground_truth"),
    *OF_SECOND_TEACHING,
)
"""Fields of a trace that hold words of people and models."""


def trace_record(trace: Trace) -> dict[str, Any]:
    """Return a trace as a JSON object, seconds to the millisecond; of a second teaching only where there was one."""
    seconds = {name: round(value, 3) for name, value in trace.seconds.items()}
    once = trace.transcript is None
    fields = {name: value for name, value in vars(trace).items() if not (once and name in OF_SECOND_TEACHING)}
    return {"format": FORMAT, **fields, "seconds": seconds}


def new_id() -> str:
    """Return an id that no other lesson has."""
    return uuid.uuid4().hex


def lesson_id(answer: str) -> str:
    """Return the id of the lesson that an answer's id names, in whichever form the client knows it."""
    begin = _SPOKEN_ID.match(answer)
    return answer[begin.end() :] if begin else answer
