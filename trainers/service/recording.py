"""Lessons of the service as they are recorded: who agrees to it, which conversation it is, and what was answered."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from trainers.service.conversation import Conversation, told
from trainers.service.errors import BadRequest
from trainers.service.wire import number
from trainers.teaching.adaptive import Guidance
from trainers.traces.feedback import Feedback, FeedbackBox
from trainers.traces.recorder import TraceRecorder, conversation_key
from trainers.traces.trace import Trace, lesson_id

CONSENT = "Atlas-Record"
"""Header by which a client agrees to being recorded, which is so without it, or does not: anything but `on`."""
CONVERSATION = "Atlas-Conversation"
"""Header with the client's own name for a conversation."""


@dataclass(frozen=True)
class Recording:
    """A service that records its lessons.

    Args:
        recorder: what writes them.
        feedback: what takes people's word on them.
        student: what the student is called in them.
        teacher: what the teacher is called.
    """

    recorder: TraceRecorder
    feedback: FeedbackBox
    student: str
    teacher: str

    def of(self, headers: Mapping[str, str], body: Any, conversation: Conversation) -> RecordedLesson | None:
        """Return what records the lesson of a request; `None` when the client does not agree to it."""
        if not agreed(headers, body):
            return None
        return RecordedLesson(self, conversation_of(headers, conversation))

    async def take(self, body: Any) -> Feedback:
        """Write down what a client says of a lesson: `{id, score, comment}`.

        Raises:
            BadRequest: when it is malformed.
            UnknownLessonError: when the lesson is not recorded here.
            FeedbackLostError: when it cannot be written.
        """
        answer, score, comment = read_feedback(body)
        return await asyncio.to_thread(self.feedback.give, answer, score, comment)


def read_feedback(body: Any) -> tuple[str, float, str]:
    """Return the id, score and comment that a client sends.

    Raises:
        BadRequest: when one of them is missing or none.
    """
    if not isinstance(body, Mapping):
        raise BadRequest("The body must be a JSON object with id, score and, where there is one, comment.")
    answer, comment = body.get("id"), body.get("comment")
    if not isinstance(answer, str) or not answer:
        raise BadRequest("id must be that of an answer, or the field lesson of its atlas.")
    score = number(body, "score", float, 0, 1)
    if score is None:
        raise BadRequest("score must be a number from 0, it did not help, to 1.")
    if not isinstance(comment, str | None):
        raise BadRequest("comment must be a text.")
    try:
        (comment or "").encode()
    except UnicodeEncodeError:
        raise BadRequest("comment must be valid Unicode: it holds half of a surrogate pair.") from None
    return answer, float(score), comment or ""


def agreed(headers: Mapping[str, str], body: Any) -> bool:
    """Return whether a request may be recorded: neither its header nor OpenAI's field `store` says no."""
    declined = isinstance(body, Mapping) and body.get("store") is False
    return not declined and headers.get(CONSENT, "on").strip().lower() == "on"


def conversation_of(headers: Mapping[str, str], conversation: Conversation) -> str:
    """Return the key of a conversation: of the client's name for it, or else of what it began with."""
    if given := headers.get(CONVERSATION, "").strip():
        return conversation_key("named", given)
    first = next(place for place, message in enumerate(conversation.messages) if message["role"] == "user")
    began = [(message["role"], message.get("content")) for message in conversation.messages[: first + 1]]
    return conversation_key("began", json.dumps(began, sort_keys=True))


@dataclass
class RecordedLesson:
    """The lesson of one request, from its beginning to its last word.

    Args:
        recording: the service's.
        conversation: which one it belongs to.
    """

    recording: Recording
    conversation: str
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    _started: float = field(default_factory=time.monotonic)
    _guided: float | None = None

    def guided(self) -> None:
        """Note that the guidance is there, and the student begins to answer."""
        self._guided = time.monotonic()

    async def write(self, answer: str, guidance: Guidance, messages: Sequence[Mapping[str, Any]], whole: bool) -> None:
        """Write a lesson for each answer that was given.

        Args:
            answer: id of the answer.
            guidance: what the student was told.
            messages: the answers, as messages of the assistant.
            whole: whether the answers came to their ends.
        """
        ended, guided = time.monotonic(), self._guided or self._started
        trace = Trace(
            id=lesson_id(answer),
            conversation=self.conversation,
            student=self.recording.student,
            teacher=self.recording.teacher,
            question=guidance.question,
            approach=guidance.approach,
            thinking=guidance.thinking,
            teaching=guidance.teaching,
            taught=None,
            failure=guidance.failure if whole else "incomplete",
            time=self.began.isoformat(timespec="milliseconds"),
            seconds={"guidance": guided - self._started, "answer": ended - guided},
        )
        place = "baseline" if guidance.teaching is None else "taught"
        for index, message in enumerate(messages):
            name = f"{trace.id}-{index}" if index else trace.id
            answered: dict[str, Any] = {"id": name, place: told({"role": "assistant", **message})}
            await asyncio.to_thread(self.recording.recorder.record, replace(trace, **answered))


class HeardAnswers:
    """Puts the answers of a stream together from its chunks."""

    def __init__(self) -> None:
        self._content: dict[int, str] = {}
        self._calls: dict[int, dict[int, dict[str, str]]] = {}

    def hear(self, chunk: Mapping[str, Any]) -> None:
        """Add what a chunk says."""
        for choice in chunk.get("choices") or ():
            index, delta = choice.get("index", 0), choice.get("delta") or {}
            self._content[index] = self._content.get(index, "") + (delta.get("content") or "")
            for call in delta.get("tool_calls") or ():
                function = call.get("function") or {}
                known = self._calls.setdefault(index, {}).setdefault(
                    call.get("index", 0), {"name": "", "arguments": ""}
                )
                known["name"] += function.get("name") or ""
                known["arguments"] += function.get("arguments") or ""

    def messages(self) -> list[dict[str, Any]]:
        """Return the answers so far, each as a message."""
        return [
            {
                "content": self._content[index],
                "tool_calls": [{"function": call} for call in self._calls.get(index, {}).values()],
            }
            for index in sorted(self._content)
        ]
