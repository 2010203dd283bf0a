"""What an evaluation has of each question: the lessons, and what they took."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from trainers.teaching.lesson import Generation, Generator, Group, Prepared, Prompt, Sampling


@dataclass(frozen=True)
class Effort:
    """What one stage of one question took: wall seconds, and the student's tokens.

    The seconds hold for `concurrency` questions worked on at a time; `None` where that is not known.
    """

    seconds: float
    prompt_tokens: int = 0
    generated_tokens: int = 0
    concurrency: int | None = None

    def at(self, concurrency: int) -> Effort:
        """The same without the seconds, if these were measured at another concurrency."""
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
        self._prompt_tokens = 0
        self._generated_tokens = 0

    def count(self, generations: Sequence[Generation]) -> None:
        """Add what a call to the student generated."""
        self._prompt_tokens += sum(generation.prompt_tokens for generation in generations)
        self._generated_tokens += sum(
            completion.tokens for generation in generations for completion in generation.completions
        )

    @property
    def effort(self) -> Effort:
        """The wall seconds since the meter was made, and the tokens counted."""
        seconds = time.perf_counter() - self._start
        return Effort(seconds, self._prompt_tokens, self._generated_tokens, self._concurrency)


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

    async def generate(
        self, prompts: Sequence[Prompt], *, n: int, sampling: Sampling, seed: int, **options: Any
    ) -> list[Generation]:
        """As the generator itself."""
        generations = await self.generator.generate(prompts, n=n, sampling=sampling, seed=seed, **options)
        meter = _METER.get()
        if meter is not None:
            meter.count(generations)
        return generations
