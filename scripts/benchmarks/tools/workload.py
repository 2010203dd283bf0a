"""The work that all rollout benchmarks do: questions, a protocol, and a teacher whose words are always a teaching."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainers.generation.types import Completion, Generation, Generator, Prompt, SampledCompletion, Sampling
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.teaching.lesson import Question
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.protocol import Protocol, Stages
from trainers.teaching.reward import AdaptiveTeachingReward
from trainers.teaching.verifiers import build_verifier

TEMPLATES = PromptTemplates(
    "Solve the problem. {question} Provide your final answer within <solution></solution> tags.",
    "How would you go about this problem? {question} Answer briefly.",
    "A student is asked: {question} The student says: {approach} Teach the student within <teaching></teaching> tags.",
    "{question} Your teacher says: {teaching} Provide your final answer within <solution></solution> tags.",
)


@dataclass(frozen=True)
class Budgets:
    """Tokens per completion of each stage."""

    baseline: int = 64
    probe: int = 20
    teaching: int = 32
    taught: int = 64

    def stages(self) -> Stages:
        """The stages' sampling, of the student at temperature 0.7 and of the teacher at 1."""
        assert self.baseline == self.taught
        return Stages(Sampling(self.baseline, 0.7), Sampling(self.probe, 0.7), Sampling(self.teaching, 1.0))


def questions(count: int) -> list[Question]:
    """Questions that differ from each other in their first words."""
    return [
        Question(
            row, f"Anna has {row + 3} apples and buys {2 * row + 4} more. How many does she have?", str(3 * row + 7)
        )
        for row in range(count)
    ]


def protocol(student: Generator, stages: Stages, seed: int = 0) -> Protocol:
    """The teaching protocol with a verifier that costs next to nothing."""
    return Protocol(student, TEMPLATES, build_verifier("exact"), AdaptiveTeachingReward(), stages, seed)


class TaggedTeacher:
    """A pool whose texts are put between the tags that a trained teacher writes; its token ids stay as sampled."""

    def __init__(self, pool: EndpointPool) -> None:
        self.pool = pool

    async def generate(self, prompts: Sequence[Prompt], **how: Any) -> list[Generation]:
        """As the pool, tagged."""
        generations = await self.pool.generate(prompts, **how)
        return [replace(g, completions=tuple(map(_tagged, g.completions))) for g in generations]

    async def stream(self, prompt: Prompt, **how: Any) -> AsyncIterator[tuple[int, SampledCompletion]]:
        """As the pool, tagged."""
        async for member, sample in self.pool.stream(prompt, **how):
            yield member, replace(sample, completion=_tagged(sample.completion))


def _tagged(completion: Completion) -> Completion:
    return replace(completion, text=f"<teaching>{completion.text}</teaching>")
