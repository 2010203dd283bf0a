"""A pool of students: each group has one of them, in exact proportions and by seed, whom its teacher is not told."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

from trainers.concurrency.task_groups import task_group
from trainers.teaching.lesson import Group, Question
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.protocol import Protocol, Teacher
from trainers.teaching.tally import Tally
from trainers.teaching.verifiers import Verifier

_GOLDEN = 2654435769
"""2^32 over the golden ratio: its multiples, modulo 2^32, fill a circle most evenly (Knuth, TAOCP 3, section 6.4)."""


@dataclass(frozen=True)
class StudentPool:
    """Runs lessons with several students; stands where a `Protocol` of one student would.

    A student that fails loses its own groups: who is drawn does not depend on who answers.

    Args:
        protocols: the lessons of each student, by its name; they share verifier, reward, tally and the teacher's words.
        weights: each student's share of the groups is its weight over their sum.
        seed: seed of the run.
    """

    protocols: Mapping[str, Protocol]
    weights: Mapping[str, int | float]
    seed: int = 0

    async def run(
        self, questions: Sequence[Question], teacher: Teacher, *, step: int, num_generations: int, num_baselines: int
    ) -> list[Group]:
        """Teach all questions concurrently, each to the student drawn for it; one group per question, in order."""
        drawn = self.drawn(questions, step=step)
        how = {"step": step, "num_generations": num_generations, "num_baselines": num_baselines}
        async with task_group() as tasks:
            running = [
                tasks.create_task(protocol.run([question], teacher, **how))
                for protocol, question in zip(drawn, questions, strict=True)
            ]
        return [group for task in running for group in task.result()]

    def drawn(self, questions: Sequence[Question], *, step: int) -> list[Protocol]:
        """Return the lessons of the student drawn for each question of a rollout."""
        names = draw([question.row for question in questions], self.weights, seed=self.seed, step=step)
        return [self.protocols[name] for name in names]

    @property
    def templates(self) -> PromptTemplates:
        """The first student's templates; what they say to the teacher is the same for all."""
        return self._first.templates

    @property
    def tally(self) -> Tally:
        """The count of what goes on, shared by all students."""
        return self._first.tally

    @property
    def verifier(self) -> Verifier:
        """The one verifier that judges all students."""
        return self._first.verifier

    async def aclose(self) -> None:
        """Close verifier and reward."""
        await self._first.aclose()

    @property
    def _first(self) -> Protocol:
        return next(iter(self.protocols.values()))


def draw(rows: Sequence[int], weights: Mapping[str, int | float], *, seed: int, step: int) -> list[str]:
    """Return the student of each question of a rollout, by seed, step and row alone.

    Of n questions a student with the share w has n·w, or one of the two whole numbers next to it where that is none;
    over the steps these even out.
    """
    order = sorted(range(len(rows)), key=lambda index: (_digest(f"{seed}/{step}/{rows[index]}"), index))
    names = _slots(len(rows), weights, (_digest(f"{seed}/offset") + step * _GOLDEN) % 2**32)
    found = dict(zip(order, names, strict=True))
    return [found[index] for index in range(len(rows))]


def _slots(count: int, weights: Mapping[str, int | float], offset: int) -> list[str]:
    """Return who has each of some slots that lie evenly on a circle, of which every student has its share as an arc."""
    shares = [Fraction(str(weight)) for weight in weights.values()]
    ends = list(accumulate(shares))
    # Between slots and never at the end of an arc, so that whole numbers of slots are met exactly.
    start = Fraction(2 * offset + 1, 2**33)
    places = [(slot + start) / count * ends[-1] for slot in range(count)]
    return [next(name for name, end in zip(weights, ends, strict=True) if place < end) for place in places]


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest())
