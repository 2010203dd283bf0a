"""The teaching protocol: from a question to a group of lessons, the same in training, evaluation and user code.

One question has one probe, `num_baselines` baselines and one teacher prompt, all shared by its group. The protocol
knows models only as `Generator`s, answers only through a verifier, and nothing of HTTP, processes or trainers.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace

from trainers.concurrency.calls import close
from trainers.concurrency.task_groups import task_group
from trainers.generation.agents.transcript import joined, resumed, transcript
from trainers.generation.reasoning import strip_reasoning
from trainers.generation.types import (
    Completion,
    GenerationError,
    Generator,
    Prompt,
    Sampling,
    samples,
)
from trainers.teaching.leaks.audit import BlindAudit
from trainers.teaching.lesson import (
    THE_STUDENT,
    Approach,
    BlindCheck,
    Group,
    Lesson,
    Midway,
    Prepared,
    Question,
    Solution,
)
from trainers.teaching.parts.outcomes import MidwayError, failed_group, failed_lesson, revealing, with_solution
from trainers.teaching.parts.replies import ReplyReader
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.reward import Reward, score
from trainers.teaching.tally import Tally
from trainers.teaching.verifiers import Comparing, Revealing, Verdict, Verifier
from trainers.teaching.verifiers.verdict import own_verdict

MINIMUM_GROUP = 2
Baselines = Callable[[], Awaitable[Sequence[Solution]]]
"""Gives the baselines of a question, once they are there."""


@dataclass(frozen=True)
class Stages:
    """Sampling settings of each stage; a probe of no tokens is not asked for, and its approach is empty."""

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

    Nothing waits for what it does not need: a teacher is asked as soon as the probe has returned, each teaching goes to
    the student the moment it is complete, and baselines are joined when lessons are scored. Seeds depend on what is
    asked, never on when, so that lessons are the same in whatever order answers arrive.

    Args:
        student: the model that solves.
        templates: what is said to either model.
        verifier: judges solutions.
        reward: scores lessons.
        stages: sampling of each stage.
        seed: seed of the run; each request derives its own from it.
        tally: counts what goes on, for whoever wants to watch.
        name: the student's name in records.
        audit: makes blind checks of some teachings, if any.
        solved_share: share of the questions that the student solves, alone and taught. The lessons of the others end
            with their teachings, for whoever learns from these alone.
        midway_at: turn of a student with tools after which its teacher speaks once more; `None`: it speaks once.
    """

    student: Generator
    templates: PromptTemplates
    verifier: Verifier
    reward: Reward
    stages: Stages
    seed: int = 0
    tally: Tally = field(default_factory=Tally)
    name: str = THE_STUDENT
    audit: BlindAudit | None = None
    solved_share: float = 1.0
    midway_at: int | None = None

    async def run(
        self, questions: Sequence[Question], teacher: Teacher, *, step: int, num_generations: int, num_baselines: int
    ) -> list[Group]:
        """Teach all questions concurrently; one group per question, in order.

        Failures of servers and verifiers are recorded in the lessons and groups they concern, never raised.
        """
        async with task_group() as tasks:
            groups = [
                tasks.create_task(self._run_one(question, teacher, step, num_generations, num_baselines))
                for question in questions
            ]
        return [group.result() for group in groups]

    def drawn(self, questions: Sequence[Question], *, step: int) -> list[Protocol]:
        """Return who makes the lessons of each question: there is one student."""
        return [self] * len(questions)

    async def prepare(self, question: Question, *, step: int, num_baselines: int) -> Prepared:
        """Let the student solve the question alone and, at the same time, say how it would go about it."""
        async with task_group() as tasks:
            probing = tasks.create_task(self._probe(question, step))
            solving = tasks.create_task(self.solve_alone(question, step=step, number=num_baselines))
        return self._prepared(question, solving.result(), probing.result())

    async def teach(self, prepared: Prepared, teacher: Teacher, *, step: int, num_generations: int) -> Group:
        """Sample the group's teachings from one prompt, let the student solve with each, judge and score."""
        if prepared.failure is not None:
            return failed_group(prepared, prepared.failure, num_generations)
        lessons = self._lessons(prepared, teacher, step, num_generations, _known(prepared.baselines))
        return await self._scored(prepared, await lessons)

    async def drafts(
        self, prepared: Prepared, teacher: Teacher, *, step: int, num_generations: int
    ) -> AsyncGenerator[Lesson]:
        """Yield the group's lessons as far as the teacher alone makes them, each as soon as its teaching is complete.

        They are untaught and unscored; those the teacher failed to give come last, and say why.
        """
        assert prepared.approach is not None
        question = prepared.question
        stream = samples(
            teacher.generator,
            self.templates.teacher(question.text, prepared.approach.text),
            n=num_generations,
            sampling=self.stages.teacher,
            seed=derive_seed(self.seed, step, question.row, "teacher"),
            logprobs=True,
            priority=question.row,
        )
        missing, reader = dict.fromkeys(range(num_generations)), self._reader(teacher)
        try:
            with self.tally.asking("teaching", num_generations) as asking:
                async with aclosing(stream):
                    async for member, sample in stream:
                        asking.got([sample.completion])
                        del missing[member]
                        yield reader.first(prepared, member, sample)
        except GenerationError as error:
            for member in missing:
                yield failed_lesson(prepared, member, f"teacher_{error.cause}")

    async def solve(
        self,
        question: Question,
        teaching: str,
        *,
        step: int,
        member: int = 0,
        baselines: Baselines | None = None,
        teacher: Teacher | None = None,
    ) -> Solution | GenerationError:
        """Let the student solve with a teaching.

        Args:
            question: what is asked.
            teaching: what the student reads before.
            step: of the run.
            member: tells solutions with equal teachings apart.
            baselines: gives what a verifier that compares has to compare with; waited for only then.
            teacher: who speaks once more where `midway_at` says so; without one nobody does.
        """
        try:
            completion, midway = await self._taught(question, teaching, teacher, step, member)
        except GenerationError as error:
            return error
        return replace(await self._judge(question, completion, baselines), midway=midway)

    async def solve_alone(
        self, question: Question, *, step: int, number: int
    ) -> tuple[Solution, ...] | GenerationError:
        """Let the student solve without a teaching, so many times."""
        if number == 0:
            return ()
        try:
            completions = await self._ask("baseline", question, self.templates.baseline(question.text), step, n=number)
        except GenerationError as error:
            return error
        async with task_group() as tasks:
            verdicts = [tasks.create_task(self._judge(question, completion)) for completion in completions]
        return tuple(verdict.result() for verdict in verdicts)

    async def audited(self, group: Group, *, step: int) -> Group:
        """Make the blind checks of a group that was taught without; score anew what does not pass them."""
        lessons = await self._checked(group.lessons, step)
        if all(lesson.blind is None or lesson.blind.leaked is False for lesson in lessons):
            return replace(group, lessons=tuple(lessons))
        return await self._scored(group.prepared, lessons)

    async def aclose(self) -> None:
        """Close verifier and reward, each also when the other one fails."""
        async with AsyncExitStack() as closing:
            closing.push_async_callback(close, self.verifier)
            closing.push_async_callback(close, self.reward)

    async def _run_one(
        self, question: Question, teacher: Teacher, step: int, num_generations: int, num_baselines: int
    ) -> Group:
        if self._draw("solved", question, step) >= self.solved_share:
            return await self._unsolved(question, teacher, step, num_generations)
        async with task_group() as tasks:
            probing = tasks.create_task(self._probe(question, step))
            solving = tasks.create_task(self.solve_alone(question, step=step, number=num_baselines))

            async def teaching() -> list[Lesson]:
                probed = self._prepared(question, (), await probing)
                if probed.failure:
                    return []
                return await self._lessons(probed, teacher, step, num_generations, untaught)

            async def untaught() -> Sequence[Solution]:
                solved = await asyncio.shield(solving)
                return () if isinstance(solved, GenerationError) else solved

            taught = tasks.create_task(teaching())
            prepared = self._prepared(question, await solving, await probing)
            if prepared.failure is not None:
                taught.cancel()
                return failed_group(prepared, prepared.failure, num_generations)
            return await self._scored(prepared, await taught)

    async def _unsolved(self, question: Question, teacher: Teacher, step: int, num_generations: int) -> Group:
        """Probe the student and teach it, without asking what comes of it."""
        prepared = self._prepared(question, (), await self._probe(question, step))
        if prepared.failure is not None:
            return failed_group(prepared, prepared.failure, num_generations)
        prepared = replace(prepared, unsolved=True)
        drafts = [draft async for draft in self.drafts(prepared, teacher, step=step, num_generations=num_generations)]
        lessons = tuple(sorted(drafts, key=lambda draft: draft.member))
        failed = all(lesson.sample is None for lesson in lessons)
        return Group(prepared, lessons, lessons[0].failure if failed else None)

    async def _probe(self, question: Question, step: int) -> Approach | GenerationError:
        if self.stages.probe.max_tokens == 0:
            return Approach("", 0, truncated=False)
        try:
            [completion] = await self._ask("probe", question, self.templates.probe(question.text), step)
        except GenerationError as error:
            return error
        return Approach(strip_reasoning(completion.text), completion.tokens, completion.truncated)

    async def _lessons(
        self,
        prepared: Prepared,
        teacher: Teacher,
        step: int,
        num_generations: int,
        baselines: Baselines,
    ) -> list[Lesson]:
        """Return the teachings and taught solutions, by member, not yet scored.

        The first solution of every teaching has one and the same seed (common random numbers: each solution has its
        exact distribution, differences between teachings are less noisy), the second of equal teachings another, and
        so on. Which member's teaching comes first is only settled at the end, by number and not by arrival.
        """
        question, drafts = prepared.question, list[Lesson]()
        solutions: dict[str, list[asyncio.Task[Solution | GenerationError]]] = defaultdict(list)
        revealed: dict[str, asyncio.Task[bool]] = {}
        checks: dict[str, asyncio.Task[BlindCheck | None]] = {}
        async with task_group() as tasks:
            async for draft in self.drafts(prepared, teacher, step=step, num_generations=num_generations):
                drafts.append(draft)
                if self.midway_at is None:
                    self._check_blind(tasks, checks, draft, step)
                if draft.teaching is not None:
                    equal = solutions[draft.teaching]
                    solving = self.solve(
                        question,
                        draft.teaching,
                        step=step,
                        member=len(equal),
                        baselines=baselines,
                        teacher=teacher,
                    )
                    equal.append(tasks.create_task(solving))
                    if draft.teaching not in revealed:
                        revealed[draft.teaching] = tasks.create_task(self._reveals(question, draft.teaching))
        drafts.sort(key=lambda draft: draft.member)
        lessons = [
            draft
            if draft.teaching is None
            else with_solution(
                revealing(draft, revealed[draft.teaching].result()), solutions[draft.teaching].pop(0).result()
            )
            for draft in drafts
        ]
        if self.midway_at is None:
            return [self._with_check(lesson, checks, step) for lesson in lessons]
        # All that a lesson tells is known when its student has done.
        return await self._checked(lessons, step)

    async def _checked(self, lessons: Sequence[Lesson], step: int) -> list[Lesson]:
        """Return lessons with the blind checks of those that are chosen for it."""
        checks = dict[str, asyncio.Task[BlindCheck | None]]()
        async with task_group() as tasks:
            for lesson in lessons:
                self._check_blind(tasks, checks, lesson, step)
        return [self._with_check(lesson, checks, step) for lesson in lessons]

    def _check_blind(
        self, tasks: asyncio.TaskGroup, checks: dict[str, asyncio.Task[BlindCheck | None]], lesson: Lesson, step: int
    ) -> None:
        """Begin the blind check of a lesson that is chosen for it, unless that of equal words has begun."""
        if self.audit is None or lesson.told is None or lesson.told in checks or not self._chosen(lesson, step):
            return
        question = lesson.prepared.question
        seed = derive_seed(self.seed, step, question.row, "blind")
        checks[lesson.told] = tasks.create_task(self.audit.check(question, lesson.told, seed=seed))

    def _with_check(self, lesson: Lesson, checks: Mapping[str, asyncio.Task[BlindCheck | None]], step: int) -> Lesson:
        if lesson.told is None or lesson.told not in checks or not self._chosen(lesson, step):
            return lesson
        return replace(lesson, blind=checks[lesson.told].result())

    def _chosen(self, lesson: Lesson, step: int) -> bool:
        """Return True for the share of lessons that are audited, by seed, step, row and member alone."""
        draw = self._draw("audit", lesson.prepared.question, step, lesson.member)
        return self.audit is not None and draw < self.audit.share

    def _draw(self, what: str, question: Question, step: int, member: int = 0) -> float:
        """Return a number in [0, 1), by seed, step, row and member alone."""
        return derive_seed(self.seed, step, question.row, what, member) / 2**31

    async def _taught(
        self, question: Question, teaching: str, teacher: Teacher | None, step: int, member: int
    ) -> tuple[Completion, Midway | None]:
        """Return what the student does with a teaching, and what its teacher says once more where it pauses."""
        prompt = self.templates.taught(question.text, teaching)
        pausing = replace(prompt, pause_at=self.midway_at if teacher else None)
        [done] = await self._ask("taught", question, pausing, step, member=member)
        if teacher is None or not done.paused:
            return done, None
        midway = await self._speak_again(question, transcript(done.turns), teacher, step, member)
        told = None if midway.teaching is None else self.templates.midway(midway.teaching)
        going_on = resumed(prompt, done, told)
        [rest] = await self._ask("resumed", question, going_on, step, member=member, spent=done.tokens)
        return joined(done, told, rest), midway

    async def _speak_again(self, question: Question, seen: str, teacher: Teacher, step: int, member: int) -> Midway:
        """Ask the teacher for a second teaching, with what the student has done so far in place of its approach."""
        prompt = self.templates.teacher(question.text, seen)
        sampling, seed = self.stages.teacher, derive_seed(self.seed, step, question.row, "midway", member)
        try:
            with self.tally.asking("midway", 1) as asking:
                [generation] = await teacher.generator.generate(
                    [prompt], n=1, sampling=sampling, seed=seed, priority=question.row
                )
                asking.got(generation.completions)
        except GenerationError as error:
            raise MidwayError(str(error), error.cause, told=error.told) from error
        [completion] = generation.completions
        midway = self._reader(teacher).second(completion, question, seen)
        if midway.teaching is None or not await self._reveals(question, midway.teaching):
            return midway
        return replace(midway, leaked=True, suspected_leak=False)

    async def _reveals(self, question: Question, teaching: str) -> bool:
        return isinstance(self.verifier, Revealing) and await self.verifier.reveals(teaching, question)

    async def _ask(
        self, stage: str, question: Question, prompt: Prompt, step: int, *, member: int = 0, n: int = 1, spent: int = 0
    ) -> tuple[Completion, ...]:
        """Ask the student at one stage, for `n` completions; of its budget some tokens may be spent."""
        sampling = self.stages.probe if stage == "probe" else self.stages.student
        if spent:
            sampling = replace(sampling, max_tokens=sampling.max_tokens - spent)
        seed = derive_seed(self.seed, step, question.row, stage, member)
        with self.tally.asking(stage, n) as asking:
            [generation] = await self.student.generate(
                [prompt], n=n, sampling=sampling, seed=seed, priority=question.row
            )
            asking.got(generation.completions)
        return generation.completions

    async def _judge(
        self,
        question: Question,
        completion: Completion,
        baselines: Baselines | None = None,
    ) -> Solution:
        text = strip_reasoning(completion.text)
        own = completion.score
        verdict = await self._verdict(text, question, baselines) if own is None else own_verdict(own)
        return Solution(
            text=text,
            tokens=completion.tokens,
            truncated=completion.truncated,
            correct=verdict.correct,
            # What an environment has scored it has found an answer in, or else its score says that there was none.
            answered=own is not None or self.verifier.extract(text) is not None,
            cause=verdict.cause,
            grade=verdict.grade,
            turns=completion.turns,
        )

    async def _verdict(self, text: str, question: Question, baselines: Baselines | None) -> Verdict:
        if baselines is not None and isinstance(self.verifier, Comparing):
            others = [solution for solution in await baselines() if solution.score is not None]
            if others:
                return await self.verifier.compare(text, others, question)
        return await self.verifier.verify(text, question)

    def _reader(self, teacher: Teacher) -> ReplyReader:
        return ReplyReader((self.student, teacher.generator), teacher.count_tokens)

    def _prepared(
        self,
        question: Question,
        solved: tuple[Solution, ...] | GenerationError,
        probed: Approach | GenerationError,
    ) -> Prepared:
        """Gather what a group shares, with the reason why it cannot be taught or scored, if there is one."""
        if isinstance(solved, GenerationError):
            return Prepared(question, (), None, f"baseline_{solved.cause}", self.name)
        if isinstance(probed, GenerationError):
            return Prepared(question, solved, None, f"probe_{probed.cause}", self.name)
        unscorable = bool(solved) and all(solution.correct is None for solution in solved)
        failure = f"baseline_{solved[0].cause}" if unscorable else None
        return Prepared(question, solved, probed, failure, self.name)

    async def _scored(self, prepared: Prepared, drafts: Sequence[Lesson]) -> Group:
        """Return the group of lessons that share what was prepared."""
        lessons = [replace(draft, prepared=prepared) for draft in drafts]
        async with task_group() as tasks:
            rewards = [tasks.create_task(score(self.reward, lesson)) for lesson in lessons]
        scored = tuple(replace(lesson, reward=reward.result()) for lesson, reward in zip(lessons, rewards, strict=True))
        dropped = None
        if sum(lesson.reward is not None for lesson in scored) < min(MINIMUM_GROUP, len(scored)):
            untaught = all(lesson.sample is None for lesson in scored)
            dropped = scored[0].failure if untaught else "too_few_lessons"
        return Group(prepared, scored, dropped)


def _known(baselines: Sequence[Solution]) -> Baselines:
    async def known() -> Sequence[Solution]:
        return baselines

    return known


def derive_seed(seed: int, step: int, row: int, stage: str, member: int = 0) -> int:
    """Return the seed of one request: 31 bits that depend on everything that tells it from the others."""
    digest = hashlib.blake2b(f"{seed}/{step}/{row}/{stage}/{member}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) >> 1
