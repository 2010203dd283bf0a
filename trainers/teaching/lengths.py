"""Which questions fit into the contexts of student and teacher: one rule, applied before anything is generated.

What is not known yet counts at its budget: an approach at `max_probe_tokens`, a teaching at `max_completion_length`,
what a teacher sees of a student at work at `student_max_tokens`.
A prompt that turns out too long all the same is caught when it is sent, and its lesson excluded and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainers.generation.types import Prompt
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.protocol import Stages

TEACHER = "teacher"
"""The stage whose prompt is the teacher's, whoever the student is."""


@dataclass(frozen=True)
class Context:
    """A model's context.

    Args:
        count: how many tokens a prompt has when it is rendered for the model.
        limit: how many tokens the context holds; `None` when that is not known.
        overhead: how many bytes rendering adds to the messages of a prompt, for a model that never has more tokens than
            bytes; `None` where that cannot be said.
    """

    count: Callable[[Prompt], int]
    limit: int | None
    overhead: Callable[[Prompt], int | None] = lambda _: None


@dataclass(frozen=True)
class Need:
    """The room that one stage needs: a prompt made of the question, with `budget` further tokens, in `limit` tokens.

    `key` is the one that sets the limit.
    """

    stage: str
    context: Context
    prompt: Callable[[str], Prompt]
    budget: int
    limit: int
    key: str

    def needed(self, question: str) -> int:
        """Return how many tokens the stage takes for a question."""
        return self.context.count(self.prompt(question)) + self.budget

    def fits(self, question: str) -> bool:
        """Return True where the stage has room for a question."""
        return self.needed(question) <= self.limit

    def certain(self) -> int:
        """Return up to how many bytes a question fits for certain, so that it needs no counting; -1 if never."""
        empty = self.prompt("")
        overhead = self.context.overhead(empty)
        if overhead is None:
            return -1
        fixed = _size(empty)
        each = max(1, _size(self.prompt("x")) - fixed)
        return max(-1, (self.limit - self.budget - overhead - fixed) // each)


def stage_needs(
    templates: PromptTemplates,
    stages: Stages,
    student: Context,
    teachers: Sequence[Context],
    max_prompt_length: int | None = None,
    teachings: int = 1,
) -> tuple[Need, ...]:
    """Return the needs of a lesson's stages, where contexts are known; without teachers, of the student alone.

    `max_prompt_length` bounds the teacher's prompt, the approach in it counted at its budget. A lesson may have two
    `teachings`, of which the second has what the student has done so far in place of its approach.
    """
    alone = (
        ("baseline", student, templates.baseline, stages.student.max_tokens),
        ("probe", student, templates.probe, stages.probe.max_tokens),
    )
    approach, teaching = stages.probe.max_tokens, stages.teacher.max_tokens
    if teachings > 1:
        approach = max(approach, stages.student.max_tokens)

    def teacher_prompt(question: str) -> Prompt:
        return templates.teacher(question, ".")

    def taught_prompt(question: str) -> Prompt:
        return templates.taught(question, ".")

    lessons = (
        *((TEACHER, teacher, teacher_prompt, approach + teaching) for teacher in teachers),
        ("taught", student, taught_prompt, teachings * teaching + stages.student.max_tokens),
    )
    wanted = [*alone, *(lessons if teachers else ())]
    needs = [
        Need(name, context, prompt, budget, context.limit, _context_key(name))
        for name, context, prompt, budget in wanted
        if context.limit is not None
    ]
    if max_prompt_length is not None:
        needs += [
            Need(TEACHER, teacher, teacher_prompt, approach, max_prompt_length, "max_prompt_length")
            for teacher in teachers
        ]
    return tuple(needs)


def _context_key(stage: str) -> str:
    return "teacher_max_model_len" if stage == "teacher" else "student_max_model_len"


def overlong_stage(question: str, needs: Sequence[Need]) -> str | None:
    """Return the first stage that has no room for a question, or `None`."""
    return next((need.stage for need in needs if not need.fits(question)), None)


def _size(prompt: Prompt) -> int:
    return sum(len(message.content.encode()) for message in prompt.messages)
