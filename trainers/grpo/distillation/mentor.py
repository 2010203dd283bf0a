"""The mentor of a distillation: it reads what the policy has taught, and says how likely it finds each token."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from trainers.generation.types import GenerationError, SampledCompletion
from trainers.generation.vllm.completions import TokenIds
from trainers.teaching.lesson import Group
from trainers.teaching.metrics import Mean

logger = logging.getLogger(__name__)


class Reader(Protocol):
    """A model that gives log-probabilities to token ids; `EndpointPool` is one."""

    async def prompt_logprobs(self, sequences: Sequence[TokenIds], *, priority: int = 0) -> list[tuple[float, ...]]:
        """Return the log-probability of each token but the first of each sequence."""
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


@dataclass(frozen=True)
class Readings:
    """A mentor's reading of one group.

    Args:
        lessons: for each lesson the log-probabilities of its completion's tokens, as the mentor would have sampled them
            after the same prompt; `None` for a lesson without tokens, or one that could not be read.
        failure: why none could be read, else `None`.
    """

    lessons: tuple[tuple[float, ...] | None, ...]
    failure: str | None = None


@dataclass(frozen=True)
class Mentor:
    """Reads the lessons of rollouts.

    Args:
        reader: the servers that hold its model.
    """

    reader: Reader

    async def read(self, groups: Sequence[Group]) -> list[Readings]:
        """Return the readings of all groups, in order; what cannot be had after its retries is left out."""
        return list(await asyncio.gather(*map(self._group, groups)))

    async def _group(self, group: Group) -> Readings:
        samples = [lesson.sample for lesson in group.lessons]
        asked = [sample for sample in samples if sample is not None and sample.completion.token_ids]
        try:
            logprobs = await self.reader.prompt_logprobs([_sequence(sample) for sample in asked])
        except GenerationError as error:
            logger.warning("question %d: not read by the mentor: %s", group.prepared.question.row, error)
            return Readings((None,) * len(samples), f"mentor_{error.cause}")
        found = {id(sample): _own(sample, each) for sample, each in zip(asked, logprobs, strict=True)}
        return Readings(tuple(found.get(id(sample)) for sample in samples))


def _sequence(sample: SampledCompletion) -> TokenIds:
    return (*sample.prompt_ids, *sample.completion.token_ids)


def _own(sample: SampledCompletion, logprobs: Sequence[float]) -> tuple[float, ...]:
    """Return the log-probabilities of the completion alone."""
    return tuple(logprobs[-len(sample.completion.token_ids) :])


def distillation_means(groups: Sequence[Group], readings: Sequence[Readings]) -> Mapping[str, Mean]:
    """Return how far the policy is from its mentor, and the share of lessons that were not read.

    `distillation/reverse_kl` is in nats per token: the mean, over the tokens that the policy has sampled, of its own
    log-probability less the mentor's.
    """
    differences: list[float] = []
    unread = lessons = 0
    for group, reading in zip(groups, readings, strict=True):
        for lesson, logprobs in zip(group.lessons, reading.lessons, strict=True):
            lessons += 1
            if logprobs is None or lesson.sample is None or lesson.sample.completion.logprobs is None:
                unread += 1
                continue
            pairs = zip(lesson.sample.completion.logprobs, logprobs, strict=True)
            differences += [own - mentors for own, mentors in pairs]
    found = {"distillation/unread_rate": Mean(unread, lessons)} if lessons else {}
    if differences:
        found["distillation/reverse_kl"] = Mean(sum(differences), len(differences))
    return found
