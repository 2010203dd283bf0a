"""Which questions fit into the contexts of student and teacher: one rule, applied before anything is generated.

What is not known yet counts at its budget: an approach at `max_probe_tokens`, a teaching at `max_completion_length`.
A prompt that turns out too long all the same is caught when it is sent, and its lesson excluded and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainers.teaching.lesson import Prompt, Question
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.protocol import Stages


@dataclass(frozen=True)
class Context:
    """A model's context: how many tokens a rendered prompt has in it, and how many it holds (`None`: not known)."""

    count: Callable[[Prompt], int]
    limit: int | None


@dataclass(frozen=True)
class Fit:
    """The questions that fit, and the others counted by the stage whose prompt was too long."""

    kept: list[Question]
    dropped: Counter[str]


def fitting(
    questions: Sequence[Question], templates: PromptTemplates, stages: Stages, student: Context, teacher: Context
) -> Fit:
    """Split questions by whether every prompt they lead to fits with its completion."""
    kept: list[Question] = []
    dropped: Counter[str] = Counter()
    for question in questions:
        stage = overlong_stage(question, templates, stages, student, teacher)
        if stage is None:
            kept.append(question)
        else:
            dropped[stage] += 1
    return Fit(kept, dropped)


def overlong_stage(
    question: Question, templates: PromptTemplates, stages: Stages, student: Context, teacher: Context
) -> str | None:
    """The first stage whose prompt and completion would not fit, or `None`."""
    text = question.text
    needs = (
        ("baseline", student, templates.baseline(text), stages.student.max_tokens),
        ("probe", student, templates.probe(text), stages.probe.max_tokens),
        ("teacher", teacher, templates.teacher(text, "."), stages.probe.max_tokens + stages.teacher.max_tokens),
        ("taught", student, templates.taught(text, "."), stages.teacher.max_tokens + stages.student.max_tokens),
    )
    for stage, context, prompt, budget in needs:
        if context.limit is not None and context.count(prompt) + budget > context.limit:
            return stage
    return None
