"""Several judges of one thing: their mean where they agree, a stronger one's word where they do not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from trainers.concurrency.task_groups import task_group
from trainers.generation.types import GenerationError, Generator


@dataclass(frozen=True)
class Judge:
    """A model that judges.

    Args:
        name: for messages and accounts.
        model: who is asked.
        temperature: that its answers are sampled at.
        samples: answers to each question; each is a voice of its own.
        structured: whether its server holds it to the form of an answer, a JSON object.
    """

    name: str
    model: Generator
    temperature: float = 0.0
    samples: int = 1
    structured: bool = False


@dataclass(frozen=True)
class Opinion:
    """The joint word of judges: the mean of their numbers, and the largest less the smallest."""

    mean: float
    spread: float
    escalated: bool = False


Ask = Callable[[Judge, int], Awaitable[float]]
"""Returns the number that a judge gives as its n-th sample; raises `GenerationError` where it gives none."""


@dataclass(frozen=True)
class JudgePanel:
    """Judges who are asked together.

    Args:
        judges: all of them are asked.
        stronger: decides alone where they differ too much, or one of them fails.
        escalate_above: the spread that is too much.
    """

    judges: tuple[Judge, ...]
    stronger: Judge | None = None
    escalate_above: float = 0.15

    async def opinion(self, ask: Ask, again: Ask | None = None) -> Opinion:
        """Return what the judges say.

        Args:
            ask: how each is asked.
            again: how each is asked once more, in another way, where they differ; its two numbers are averaged.

        Raises:
            GenerationError: when one of them gives no number, and no stronger one decides.
        """
        try:
            numbers = await _asked(self.judges, ask)
            if again is not None and _spread(numbers) > self.escalate_above:
                numbers = _averaged(numbers, await _asked(self.judges, again))
        except GenerationError:
            if self.stronger is None:
                raise
            return await self._escalated(self.stronger, ask, again, None)
        if self.stronger is None or _spread(numbers) <= self.escalate_above:
            return Opinion(fmean(numbers), _spread(numbers))
        return await self._escalated(self.stronger, ask, again, _spread(numbers))

    async def _escalated(self, judge: Judge, ask: Ask, again: Ask | None, spread: float | None) -> Opinion:
        numbers = await _asked((judge,), ask)
        if again is not None:
            numbers = _averaged(numbers, await _asked((judge,), again))
        return Opinion(fmean(numbers), _spread(numbers) if spread is None else spread, escalated=True)


async def _asked(judges: Sequence[Judge], ask: Ask) -> list[float]:
    async with task_group() as tasks:
        voices = [tasks.create_task(_voice(ask, judge, number)) for judge in judges for number in range(judge.samples)]
    return [voice.result() for voice in voices]


async def _voice(ask: Ask, judge: Judge, number: int) -> float:
    return await ask(judge, number)


def _averaged(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [fmean(both) for both in zip(first, second, strict=True)]


def _spread(numbers: Sequence[float]) -> float:
    return max(numbers) - min(numbers)
