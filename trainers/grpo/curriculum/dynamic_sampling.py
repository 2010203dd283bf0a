"""Replace groups that teach nothing while a rollout runs, and end with the same lessons in whatever order they come.

A group whose lessons all earn the same has no advantages. DAPO (arXiv:2503.14476, section 3.2) samples on until a batch
has none of them. Here each such group starts one spare question as soon as it is known, so that as many groups are
running or of use as the batch has places. Hence the questions asked are the shortest beginning of planned and spare
ones that fills the batch, whoever answers first, and no group of use is ever made for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainers.concurrency.task_groups import task_group
from trainers.teaching.lesson import Group, Question
from trainers.teaching.metrics import agrees
from trainers.teaching.protocol import Protocol, Teacher
from trainers.teaching.student_pool import StudentPool


@dataclass(frozen=True)
class Spares:
    """The questions that may replace others of a rollout.

    Args:
        questions: in the order in which they are drawn.
        most: each student is asked at most so many times the questions that it has in the rollout.
    """

    questions: Sequence[Question]
    most: float


@dataclass(frozen=True)
class SampledGroups:
    """The groups of a rollout that draws replacements.

    Args:
        kept: one for each question that was planned, in order, or for the spare one that replaced it.
        discarded: the groups that were replaced, and spare ones that teach nothing either.
        replaced: how many of `kept` are of spare questions.
    """

    kept: list[Group]
    discarded: list[Group]
    replaced: int


async def run_with_spares(
    lessons: Protocol | StudentPool,
    questions: Sequence[Question],
    spares: Spares,
    teacher: Teacher,
    *,
    step: int,
    num_generations: int,
    num_baselines: int,
) -> SampledGroups:
    """Teach the questions, and spare ones in place of those whose lessons all earn the same.

    A spare question is taught to the student of the group that it replaces, so that a pool keeps its proportions: each
    student has its own spares. A group that failed is lost and keeps its place, since another question would meet the
    same failure. Where the spares run out, groups that teach nothing stay.

    Args:
        lessons: how lessons are made.
        questions: the rollout's own.
        spares: the questions to replace them by.
        teacher: who teaches.
        step: optimizer step, as for `Protocol.run`.
        num_generations: lessons of a group.
        num_baselines: baselines of a group.
    """
    how = {"step": step, "num_generations": num_generations, "num_baselines": num_baselines}
    drawn = lessons.drawn(questions, step=step)
    students = {protocol.name: protocol for protocol in drawn}
    places = {name: [at for at, whose in enumerate(drawn) if whose.name == name] for name in students}
    own = deal(spares.questions, {name: int(len(at) * spares.most) - len(at) for name, at in places.items()})
    async with task_group() as tasks:
        running = [
            tasks.create_task(_until_filled(students[name], [questions[at] for at in where], own[name], teacher, how))
            for name, where in places.items()
        ]
    found = [task.result() for task in running]
    kept = {
        at: group
        for where, of in zip(places.values(), found, strict=True)
        for at, group in zip(where, of.kept, strict=True)
    }
    return SampledGroups(
        [kept[at] for at in range(len(questions))],
        [group for of in found for group in of.discarded],
        sum(of.replaced for of in found),
    )


def deal(spares: Sequence[Question], shares: Mapping[str, int]) -> dict[str, list[Question]]:
    """Return each student's spare questions: they go round until every one has its share or none are left."""
    turns = sorted((turn, place, name) for place, (name, share) in enumerate(shares.items()) for turn in range(share))
    dealt: dict[str, list[Question]] = {name: [] for name in shares}
    for (_, _, name), question in zip(turns, spares, strict=False):
        dealt[name].append(question)
    return dealt


async def _until_filled(
    protocol: Protocol,
    questions: Sequence[Question],
    spares: Sequence[Question],
    teacher: Teacher,
    how: Mapping[str, int],
) -> SampledGroups:
    """Sample the groups of one student."""
    candidates = [*questions, *spares]
    waiting = iter(range(len(questions), len(candidates)))
    done: dict[int, Group] = {}

    async def fill(candidate: int) -> None:
        """Fill one place of the batch, with spares as long as nothing is learned from what came."""
        place: int | None = candidate
        while place is not None:
            [done[place]] = await protocol.run([candidates[place]], teacher, **how)
            place = next(waiting, None) if agrees(done[place]) else None

    async with task_group() as tasks:
        for place in range(len(questions)):
            tasks.create_task(fill(place))
    return settle([done[place] for place in sorted(done)], len(questions))


def settle(candidates: Sequence[Group], size: int) -> SampledGroups:
    """Return the batch of candidates: the first `size` are its own, those after them replace what teaches nothing."""
    kept = list(candidates[:size])
    of_use = iter([group for group in candidates[size:] if not agrees(group)])
    discarded = [group for group in candidates[size:] if agrees(group)]
    replaced = 0
    for place, group in enumerate(kept):
        if agrees(group) and (spare := next(of_use, None)) is not None:
            kept[place] = spare
            discarded.append(group)
            replaced += 1
    return SampledGroups(kept, discarded, replaced)
