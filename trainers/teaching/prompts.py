"""Every word that ATLAS itself says to a model, and how a teacher's reply is read.

SFT, GRPO, evaluation and user code all render their prompts here, so that what a teacher was warmed up on is what it
meets later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from trainers.generation.reasoning import strip_blocks
from trainers.generation.types import Message, Prompt

EMPTY_APPROACH = "(The student gave no approach.)"
NO_TEACHING = "(The teacher said nothing.)"

_PLACEHOLDER = re.compile(r"\{(question|approach|teaching|kind)\}")
_TEACHING = re.compile(r"<teaching>(.*?)</teaching>", re.DOTALL)
_THINKING = re.compile(r"<thinking>(.*?)</thinking>", re.DOTALL)


@dataclass(frozen=True)
class PromptTemplates:
    """The user messages of the stages and of the blind check, and an optional system message for either model.

    Templates hold the placeholders `{question}`, `{approach}`, `{teaching}`, `{kind}`; any other brace is plain text.
    """

    baseline_template: str
    probe_template: str
    teacher_template: str
    taught_template: str
    student_system_prompt: str | None = None
    teacher_system_prompt: str | None = None
    blind_template: str = "{teaching}"
    midway_template: str = "{teaching}"

    def baseline(self, question: str) -> Prompt:
        """Ask the student to solve the question alone."""
        return _prompt(self.student_system_prompt, fill(self.baseline_template, question=question))

    def probe(self, question: str) -> Prompt:
        """Ask the student how it would go about the question, which it is not to do yet."""
        asked = _prompt(self.student_system_prompt, fill(self.probe_template, question=question))
        return replace(asked, may_act=False)

    def teacher(self, question: str, approach: str) -> Prompt:
        """Ask the teacher for a teaching; an empty approach is replaced by `EMPTY_APPROACH`."""
        approach = approach or EMPTY_APPROACH
        return _prompt(self.teacher_system_prompt, fill(self.teacher_template, question=question, approach=approach))

    def taught(self, question: str, teaching: str) -> Prompt:
        """Ask the student to solve the question with the teaching before it."""
        return _prompt(self.student_system_prompt, fill(self.taught_template, question=question, teaching=teaching))

    def midway(self, teaching: str) -> str:
        """Return what a student that is at work is told with the teacher's second teaching."""
        return fill(self.midway_template, teaching=teaching)

    def blind(self, teaching: str | None, kind: str) -> Prompt:
        """Ask the student for an answer of this kind to a question it does not see, with or without a teaching."""
        text = NO_TEACHING if teaching is None else teaching
        return _prompt(self.student_system_prompt, fill(self.blind_template, teaching=text, kind=kind))


@dataclass(frozen=True)
class TeacherReply:
    """A teacher's completion in parts: its thinking, and its teaching or `None` when the format was not kept."""

    thinking: str
    teaching: str | None


def fill(template: str, **values: str) -> str:
    """Replace the placeholders in one pass, so that braces and placeholders inside the values stay what they are."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


def read_reply(text: str) -> TeacherReply:
    """Read a teacher's completion.

    The teaching is the text inside the one `<teaching>…</teaching>` after the thinking. None, several, or an empty one
    is a format failure: nothing else of the completion may ever reach the student.
    """
    text = strip_blocks(text, "<think>", "</think>")
    thinking = _THINKING.search(text)
    rest = text[thinking.end() :] if thinking else text
    teachings = [match.strip() for match in _TEACHING.findall(rest)]
    teaching = teachings[0] if len(teachings) == 1 and teachings[0] and "<teaching>" not in teachings[0] else None
    return TeacherReply(thinking[1].strip() if thinking else "", teaching)


def write_reply(thinking: str, teaching: str) -> str:
    """Write a teacher's completion as `read_reply` reads it: the target of the SFT warm-up."""
    return f"<thinking>{thinking.strip()}</thinking><teaching>{teaching.strip()}</teaching>"


def _prompt(system: str | None, user: str) -> Prompt:
    turns = (Message("user", user),)
    return Prompt((Message("system", system), *turns) if system else turns)
