"""The schedule that ATLAS is measured against: four stages with a barrier after each.

`regenerate` makes it that of the ancestor, which asks for a probe and baselines anew for every member of a group.
Requests, seeds and so tokens are those of the protocol otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from trainers.generation.reasoning import strip_reasoning
from trainers.generation.types import Completion
from trainers.teaching.lesson import Question
from trainers.teaching.prompts import read_reply
from trainers.teaching.protocol import Protocol, Teacher, derive_seed


async def four_barriers(
    protocol: Protocol,
    questions: Sequence[Question],
    teacher: Teacher,
    *,
    step: int,
    num_generations: int,
    num_baselines: int,
    regenerate: bool = False,
) -> int:
    """Run all four stages, each for all questions before the next begins; the number of tokens generated.

    Different teachings of a group share a request, which costs servers the least.
    """
    student, stages, templates = protocol.student, protocol.stages, protocol.templates
    copies = num_generations if regenerate else 1

    async def judge(question: Question, completions: Sequence[Completion]) -> None:
        texts = [strip_reasoning(completion.text) for completion in completions]
        await asyncio.gather(*(protocol.verifier.verify(text, question) for text in texts))

    async def baseline(question: Question) -> int:
        prompt, seed = templates.baseline(question.text), derive_seed(protocol.seed, step, question.row, "baseline")
        [generation] = await student.generate([prompt], n=num_baselines * copies, sampling=stages.student, seed=seed)
        await judge(question, generation.completions)
        return _tokens(generation.completions)

    async def probe(question: Question) -> tuple[str, int]:
        prompt, seed = templates.probe(question.text), derive_seed(protocol.seed, step, question.row, "probe")
        [generation] = await student.generate([prompt], n=copies, sampling=stages.probe, seed=seed)
        return strip_reasoning(generation.completions[0].text), _tokens(generation.completions)

    async def teach(question: Question, approach: str) -> tuple[list[str], int]:
        prompt, seed = (
            templates.teacher(question.text, approach),
            derive_seed(protocol.seed, step, question.row, "teacher"),
        )
        [generation] = await teacher.generator.generate(
            [prompt], n=num_generations, sampling=stages.teacher, seed=seed, logprobs=True
        )
        replies = [read_reply(completion.text).teaching for completion in generation.completions]
        return [reply for reply in replies if reply is not None], _tokens(generation.completions)

    async def solve(question: Question, teachings: Sequence[str], occurrence: int) -> int:
        seed = derive_seed(protocol.seed, step, question.row, "taught", occurrence)
        prompts = [templates.taught(question.text, teaching) for teaching in teachings]
        generations = await student.generate(prompts, n=1, sampling=stages.student, seed=seed)
        completions = [generation.completions[0] for generation in generations]
        await judge(question, completions)
        return _tokens(completions)

    baselines = await asyncio.gather(*map(baseline, questions))
    probes = await asyncio.gather(*map(probe, questions))
    taught = await asyncio.gather(
        *(teach(question, approach) for question, (approach, _) in zip(questions, probes, strict=True))
    )
    solved = await asyncio.gather(
        *(
            solve(question, different, occurrence)
            for question, (teachings, _) in zip(questions, taught, strict=True)
            for occurrence, different in enumerate(rounds(teachings))
        )
    )
    return sum(baselines) + sum(tokens for _, tokens in probes) + sum(tokens for _, tokens in taught) + sum(solved)


def rounds(teachings: Sequence[str]) -> list[list[str]]:
    """Return teachings by how often they have come before: the first of each, the second of each, and so on.

    All of one list can share a request, which is as cheap as it gets where everything is known beforehand.
    """
    counts = [teachings[:member].count(teaching) for member, teaching in enumerate(teachings)]
    return [
        [teaching for teaching, count in zip(teachings, counts, strict=True) if count == occurrence]
        for occurrence in range(max(counts, default=-1) + 1)
    ]


def _tokens(completions: Sequence[Completion]) -> int:
    return sum(len(completion.token_ids) for completion in completions)
