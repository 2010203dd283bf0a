"""A question as an evaluation has it, solved alone and taught, with the tokens and seconds that each stage took."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal

from trainers.generation.control_spellings import forges_turns
from trainers.generation.types import Generation, Generator, Prompt, Sampling, StreamingGenerator
from trainers.teaching.lesson import Group, Prepared
from trainers.teaching.protocol import Teacher

Asked = Literal["student", "teacher"]


@dataclass(frozen=True)
class Effort:
    """Wall seconds and tokens, the student's and the teacher's, of one stage of one question.

    The seconds hold for `concurrency` questions worked on at a time; `None` where that is not known. The teacher's
    tokens are `None` where nobody counted them.
    """

    seconds: float
    prompt_tokens: int = 0
    generated_tokens: int = 0
    concurrency: int | None = None
    teacher_prompt_tokens: int | None = None
    teacher_generated_tokens: int | None = None

    def at(self, concurrency: int) -> Effort:
        """Return the same without the seconds, if these were measured at another concurrency."""
        return self if self.concurrency in (None, concurrency) else replace(self, seconds=math.nan)


@dataclass(frozen=True)
class Alone:
    """A question that the student solved alone, and for which it was probed; the two are asked for at the same time."""

    prepared: Prepared
    solving: Effort
    probing: Effort


@dataclass(frozen=True)
class Taught:
    """A question with the lessons of one teacher; `teaching` covers teachings and taught solutions of all of them."""

    group: Group
    teaching: Effort


class Meter:
    """Counts while a stage runs; `effort` is what has been counted so far."""

    def __init__(self, concurrency: int | None = None) -> None:
        self._start = time.perf_counter()
        self._concurrency = concurrency
        self._counted: dict[Asked, tuple[int, int]] = {"student": (0, 0)}

    def count(self, asked: Asked, generations: Sequence[Generation]) -> None:
        """Add what a call to a model was prompted with and generated."""
        prompted, generated = self._counted.get(asked, (0, 0))
        prompted += sum(generation.prompt_tokens for generation in generations)
        generated += sum(completion.tokens for generation in generations for completion in generation.completions)
        self._counted[asked] = prompted, generated

    @property
    def effort(self) -> Effort:
        """The wall seconds since the meter was made, and the tokens counted."""
        seconds = time.perf_counter() - self._start
        teacher = self._counted.get("teacher", (None, None))
        return Effort(seconds, *self._counted["student"], self._concurrency, *teacher)


_METER: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextmanager
def metered(concurrency: int | None = None) -> Iterator[Meter]:
    """Within it, what this task and those it starts ask of a `MeteredGenerator` is counted on the meter."""
    meter = Meter(concurrency)
    token = _METER.set(meter)
    try:
        yield meter
    finally:
        _METER.reset(token)


@dataclass(frozen=True)
class MeteredGenerator:
    """A generator that counts on the meter of whoever asks."""

    generator: Generator
    asked: Asked = "student"

    async def generate(
        self, prompts: Sequence[Prompt], *, n: int, sampling: Sampling, seed: int, **options: Any
    ) -> list[Generation]:
        """As the generator itself."""
        generations = await self.generator.generate(prompts, n=n, sampling=sampling, seed=seed, **options)
        meter = _METER.get()
        if meter is not None:
            meter.count(self.asked, generations)
        return generations

    def spells_control(self, text: str) -> bool:
        """As the generator itself, if it knows; else as any family's turns may be spelled."""
        return forges_turns(text, self.generator)


def counted(teacher: Teacher) -> Teacher:
    """Return the teacher with its tokens counted, unless it streams: only servers of ours do, which are free."""
    if isinstance(teacher.generator, StreamingGenerator):
        return teacher
    return replace(teacher, generator=MeteredGenerator(teacher.generator, "teacher"))
