"""The lessons of a search: held once for each set of templates and question, and remembered across runs."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from trainers.configuration.resume.evaluations import TRIED
from trainers.jsonl import append, mend, whole_rows
from trainers.teaching.lesson import Group, Question
from trainers.teaching.protocol import Protocol, Teacher

Templates = Mapping[str, str]
"""Templates that are searched for, by their keys; all others are as configured."""
STEP = 0
"""Requests derive their seeds from this step: whatever the templates, a question is asked with the same ones."""


@dataclass(frozen=True)
class Tried:
    """The outcome of some templates on one question.

    Args:
        templates: the digest of the templates.
        row: the question's.
        score: mean reward over its lessons; `None` when none could be scored.
        cause: why not.
        lesson: what was said in the first scored lesson, for a reader that is to do better.
    """

    templates: str
    row: int
    score: float | None
    cause: str | None
    lesson: Mapping[str, Any]


def digest(templates: Templates) -> str:
    """Return a short name for templates, by what they say."""
    return hashlib.blake2b(json.dumps(dict(templates), sort_keys=True).encode(), digest_size=8).hexdigest()


@dataclass
class SearchLessons:
    """Holds lessons with templates that are to be tried.

    Args:
        protocols: the lessons of each student, by its name, with the configured templates.
        students: who is asked each question, by its row.
        teacher: who teaches.
        output: where lessons are written.
        num_rollouts: lessons for each question.
        num_baselines: how often a student solves each question alone.
        concurrency: questions worked on at a time.
    """

    protocols: Mapping[str, Protocol]
    students: Mapping[int, str]
    teacher: Teacher
    output: Path
    num_rollouts: int
    num_baselines: int
    concurrency: int

    def __post_init__(self) -> None:
        mend(self.output / TRIED)
        held = [Tried(**row) for row in whole_rows(self.output / TRIED)]
        self._known = {(item.templates, item.row): item for item in held if item.score is not None}
        self._slots = asyncio.Semaphore(self.concurrency)

    @property
    def held(self) -> int:
        """The number of lessons that have been held, in earlier parts of the search too."""
        return len(self._known) * self.num_rollouts

    async def hold(self, templates: Templates, questions: Sequence[Question]) -> list[Tried]:
        """Return the outcome of each question, in order; what is known of it is not asked again."""
        return list(await asyncio.gather(*(self._one(templates, question) for question in questions)))

    async def _one(self, templates: Templates, question: Question) -> Tried:
        name = digest(templates)
        if (known := self._known.get((name, question.row))) is not None:
            return known
        protocol = self.protocols[self.students[question.row]]
        asking = replace(protocol, templates=replace(protocol.templates, **templates))
        async with self._slots:
            how = {"step": STEP, "num_generations": self.num_rollouts, "num_baselines": self.num_baselines}
            [group] = await asking.run([question], self.teacher, **how)
        tried = outcome(name, group)
        append(self.output / TRIED, [asdict(tried)])
        if tried.score is not None:
            self._known[name, question.row] = tried
        return tried


def outcome(name: str, group: Group) -> Tried:
    """Return what came of a group that was held with templates of this name."""
    scored = [lesson for lesson in group.lessons if lesson.reward is not None]
    row = group.prepared.question.row
    if not scored:
        causes = [group.dropped, *(lesson.failure for lesson in group.lessons)]
        return Tried(name, row, None, next((cause for cause in causes if cause), "unscorable"), {})
    first = scored[0]
    baselines = [solution.correct for solution in group.prepared.baselines if solution.correct is not None]
    said = {
        "question": group.prepared.question.text,
        "approach": group.prepared.approach.text if group.prepared.approach else "",
        "teaching": first.teaching,
        "taught": first.taught.text if first.taught else None,
        "right_alone": sum(baselines) / len(baselines) if baselines else None,
        "right_taught": first.taught_correct,
        "leaked": first.leaked,
        "tokens": first.teaching_length,
        "reward": first.reward,
    }
    return Tried(name, row, fmean(lesson.reward for lesson in scored if lesson.reward is not None), None, said)
