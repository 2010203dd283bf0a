"""The teaching protocol: from a question to a group of lessons, the same in training, evaluation and user code.

One question has one probe, `num_baselines` baselines and one teacher prompt, all shared by its group. The protocol
knows models only as `Generator`s, answers only through a verifier, and nothing of HTTP, processes or trainers.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from trainers.teaching.leakage import find_leak
from trainers.teaching.lesson import (
    Approach,
    Completion,
    Generation,
    GenerationError,
    Generator,
    Group,
    Lesson,
    Prepared,
    Question,
    Sampling,
    Solution,
    TeacherSample,
)
from trainers.teaching.prompts import PromptTemplates, read_reply, strip_reasoning
from trainers.teaching.reward import Reward
from trainers.teaching.verifiers import Verifier

MINIMUM_GROUP = 2


@dataclass(frozen=True)
class Stages:
    """How each stage samples."""

    student: Sampling
    probe: Sampling
    teacher: Sampling


@dataclass(frozen=True)
class Teacher:
    """A teacher to be asked: the model, and how to count tokens of its text (in its own tokenizer)."""

    generator: Generator
    count_tokens: Callable[[str], int]


@dataclass(frozen=True)
class Protocol:
    """Runs lessons.

    Args:
        student: the model that solves.
        templates: what is said to either model.
        verifier: judges solutions.
        reward: scores lessons.
        stages: sampling of each stage.
        seed: seed of the run; each request derives its own from it.
    """

    student: Generator
    templates: PromptTemplates
    verifier: Verifier
    reward: Reward
    stages: Stages
    seed: int = 0

    async def run(
        self, questions: Sequence[Question], teacher: Teacher, *, step: int, num_generations: int, num_baselines: int
    ) -> list[Group]:
        """Teach all questions concurrently; one group per question, in order.

        Failures of servers and verifiers are recorded in the lessons and groups they concern, never raised.
        """

        async def one(question: Question) -> Group:
            prepared = await self.prepare(question, step=step, num_baselines=num_baselines)
            return await self.teach(prepared, teacher, step=step, num_generations=num_generations)

        return list(await asyncio.gather(*map(one, questions)))

    async def prepare(self, question: Question, *, step: int, num_baselines: int) -> Prepared:
        """Let the student solve the question alone and, at the same time, say how it would go about it."""
        solved, probed = await asyncio.gather(
            self._baselines(question, step, num_baselines), self._probe(question, step)
        )
        if isinstance(solved, GenerationError):
            return Prepared(question, (), None, f"baseline_{solved.cause}")
        if isinstance(probed, GenerationError):
            return Prepared(question, solved, None, f"probe_{probed.cause}")
        unscorable = all(solution.correct is None for solution in solved)
        return Prepared(question, solved, probed, f"baseline_{solved[0].cause}" if unscorable else None)

    async def teach(self, prepared: Prepared, teacher: Teacher, *, step: int, num_generations: int) -> Group:
        """Sample the group's teachings from one prompt, let the student solve with each, judge and score."""
        if prepared.failure is not None:
            return self._failed_group(prepared, prepared.failure, num_generations)
        assert prepared.approach is not None
        question = prepared.question
        prompt = self.templates.teacher(question.text, prepared.approach.text)
        seed = derive_seed(self.seed, step, question.row, "teacher")
        try:
            [generation] = await teacher.generator.generate(
                [prompt], n=num_generations, sampling=self.stages.teacher, seed=seed, logprobs=True
            )
        except GenerationError as error:
            return self._failed_group(prepared, f"teacher_{error.cause}", num_generations)
        drafts = [
            self._draft(prepared, member, generation, completion, teacher)
            for member, completion in enumerate(generation.completions)
        ]
        lessons = await self._taught(prepared, drafts, step)
        scored = tuple(replace(lesson, reward=self.reward(lesson)) for lesson in lessons)
        remaining = sum(lesson.reward is not None for lesson in scored)
        dropped = "too_few_lessons" if remaining < min(MINIMUM_GROUP, num_generations) else None
        return Group(prepared, scored, dropped)

    async def _baselines(self, question: Question, step: int, number: int) -> tuple[Solution, ...] | GenerationError:
        prompt = self.templates.baseline(question.text)
        seed = derive_seed(self.seed, step, question.row, "baseline")
        try:
            [generation] = await self.student.generate([prompt], n=number, sampling=self.stages.student, seed=seed)
        except GenerationError as error:
            return error
        return await self._judge(question, generation.completions)

    async def _probe(self, question: Question, step: int) -> Approach | GenerationError:
        prompt = self.templates.probe(question.text)
        seed = derive_seed(self.seed, step, question.row, "probe")
        try:
            [generation] = await self.student.generate([prompt], n=1, sampling=self.stages.probe, seed=seed)
        except GenerationError as error:
            return error
        [completion] = generation.completions
        return Approach(strip_reasoning(completion.text), completion.tokens, completion.truncated)

    def _draft(
        self, prepared: Prepared, member: int, generation: Generation, completion: Completion, teacher: Teacher
    ) -> Lesson:
        """A lesson as far as the teacher's completion alone tells it."""
        reply = read_reply(completion.text)
        question, approach = prepared.question, prepared.approach
        assert approach is not None
        leak = None
        if reply.teaching is not None and question.ground_truth is not None:
            leak = find_leak(reply.teaching, question.ground_truth, question.text, approach.text)
        return Lesson(
            prepared=prepared,
            member=member,
            sample=TeacherSample(generation.prompt_ids, completion, generation.weight_version),
            thinking=reply.thinking,
            teaching=reply.teaching,
            teaching_length=teacher.count_tokens(reply.teaching) if reply.teaching else 0,
            leaked=bool(leak and leak.leaked),
            suspected_leak=bool(leak and leak.suspected),
            taught=None,
        )

    async def _taught(self, prepared: Prepared, drafts: Sequence[Lesson], step: int) -> list[Lesson]:
        """Let the student solve with every draft's teaching; drafts without one stay as they are.

        Different teachings of a group share a request and its seed (common random numbers: each solution has its exact
        distribution, differences between teachings are less noisy); equal teachings get requests, and seeds, of
        their own.
        """
        lessons = list(drafts)

        async def solve(occurrence: int, members: list[int]) -> None:
            seed = derive_seed(self.seed, step, prepared.question.row, "taught", occurrence)
            prompts = [
                self.templates.taught(prepared.question.text, drafts[member].teaching or "") for member in members
            ]
            try:
                generations = await self.student.generate(prompts, n=1, sampling=self.stages.student, seed=seed)
            except GenerationError as error:
                if len(members) > 1:
                    # One teaching (too long for the context, say) must not cost the others their lesson.
                    await asyncio.gather(*(solve(occurrence, [member]) for member in members))
                else:
                    lessons[members[0]] = replace(drafts[members[0]], failure=f"taught_{error.cause}")
                return
            completions = [generation.completions[0] for generation in generations]
            solutions = await self._judge(prepared.question, completions)
            for member, solution in zip(members, solutions, strict=True):
                failure = None if solution.correct is not None else f"verdict_{solution.cause}"
                lessons[member] = replace(drafts[member], taught=solution, failure=failure)

        await asyncio.gather(*(solve(i, members) for i, members in enumerate(occurrences(drafts))))
        return lessons

    async def _judge(self, question: Question, completions: Sequence[Completion]) -> tuple[Solution, ...]:
        async def one(completion: Completion) -> Solution:
            text = strip_reasoning(completion.text)
            verdict = await self.verifier.verify(text, question.ground_truth, question.extra)
            return Solution(
                text=text,
                tokens=completion.tokens,
                truncated=completion.truncated,
                correct=verdict.correct,
                answered=self.verifier.extract(text) is not None,
                cause=verdict.cause,
            )

        return tuple(await asyncio.gather(*map(one, completions)))

    def _failed_group(self, prepared: Prepared, cause: str, num_generations: int) -> Group:
        lessons = tuple(
            Lesson(prepared, member, None, "", None, 0, False, False, None, reward=None, failure=cause)
            for member in range(num_generations)
        )
        return Group(prepared, lessons, cause)


def occurrences(drafts: Sequence[Lesson]) -> list[list[int]]:
    """Members by how often their teaching has come before in the group: the first of each kind, the second, …"""
    seen: dict[str, int] = defaultdict(int)
    rounds: list[list[int]] = []
    for draft in drafts:
        if draft.teaching is None:
            continue
        occurrence = seen[draft.teaching]
        seen[draft.teaching] += 1
        if occurrence == len(rounds):
            rounds.append([])
        rounds[occurrence].append(draft.member)
    return rounds


def derive_seed(seed: int, step: int, row: int, stage: str, member: int = 0) -> int:
    """The seed of one request: 31 bits that depend on everything that tells it from the others."""
    digest = hashlib.blake2b(f"{seed}/{step}/{row}/{stage}/{member}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1
