"""A teacher's completions as teachings: read, checked for what must not reach a student, and counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainers.generation.control_spellings import forges_turns
from trainers.generation.types import Completion, SampledCompletion
from trainers.teaching.leakage import find_leak_of_any
from trainers.teaching.lesson import Lesson, Midway, Prepared, Question, Reply
from trainers.teaching.prompts import read_reply


@dataclass(frozen=True)
class ReplyReader:
    """Reads the completions of one teacher beside one student.

    Args:
        models: those of whose conversations no turn may be forged.
        count_tokens: length of a text in the teacher's tokenizer.
    """

    models: Sequence[object]
    count_tokens: Callable[[str], int]

    def first(self, prepared: Prepared, member: int, sample: SampledCompletion) -> Lesson:
        """Return a lesson as far as its teaching makes it."""
        assert prepared.approach is not None
        reply = self.read(sample.completion.text, prepared.question, prepared.approach.text)
        return Lesson(
            prepared=prepared,
            member=member,
            sample=sample,
            thinking=reply.thinking,
            teaching=reply.teaching,
            teaching_length=reply.length,
            leaked=reply.leaked,
            suspected_leak=reply.suspected_leak,
            taught=None,
            forged=reply.forged,
        )

    def second(self, completion: Completion, question: Question, transcript: str) -> Midway:
        """Return the teaching of a teacher that has seen what its student has done so far."""
        reply = self.read(completion.text, question, transcript)
        return Midway(**vars(reply), transcript=transcript, tokens=completion.tokens, truncated=completion.truncated)

    def read(self, text: str, question: Question, seen: str) -> Reply:
        """Read a completion.

        Args:
            text: the completion.
            question: what the student is asked.
            seen: what the teacher saw of the student, in which an answer may stand already.
        """
        reply = read_reply(text)
        forged = forges_turns(reply.teaching or "", *self.models)
        teaching = None if forged else reply.teaching
        leak = find_leak_of_any(teaching, question, seen) if teaching is not None else None
        return Reply(
            thinking=reply.thinking,
            teaching=teaching,
            length=self.count_tokens(teaching) if teaching else 0,
            forged=forged or forges_turns(seen, *self.models),
            leaked=bool(leak and leak.leaked),
            suspected_leak=bool(leak and leak.suspected),
        )
