"""Teaching outside of training: any student, any teacher, one question at a time or many.

The same protocol as in training holds the conversation; without a ground truth nothing is judged, and the untaught
baseline is generated only when it is asked for.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast, overload, runtime_checkable
from typing import Protocol as TypingProtocol

import yaml

from trainers.concurrency.event_loop import EventLoopThread
from trainers.concurrency.task_groups import task_group
from trainers.generation.agents.acting import can_act
from trainers.generation.functions import FunctionModel, TextFunction
from trainers.generation.reasoning import strip_reasoning
from trainers.generation.token_estimates import estimated_tokens
from trainers.generation.types import Completion, GenerationError, Generator, Prompt, Sampling
from trainers.paths import resource
from trainers.teaching.lesson import THE_STUDENT, Approach, Lesson, Question, Solution, midway_turn
from trainers.teaching.parts.outcomes import MidwayError
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.protocol import Protocol, Stages, Teacher, derive_seed
from trainers.teaching.verifiers import NO_GROUND_TRUTH, Verdict, Verifier, extract_answer
from trainers.traces.recorder import TraceRecorder, conversation_key
from trainers.traces.trace import Trace, new_id

Model = Generator | TextFunction

_WORDS = resource("configs", "trainer", "reward")
_STEP = 0


@runtime_checkable
class TextStreaming(TypingProtocol):
    """A model that can hand over its answer in pieces."""

    def stream_text(self, prompt: Prompt, *, sampling: Sampling, seed: int) -> AsyncIterator[str | Completion]:
        """Yield the pieces of one completion, reasoning left out, and at last the completion itself.

        Raises:
            GenerationError: when the rest of it could not be had.
        """
        ...


@dataclass(frozen=True)
class Guidance:
    """The help that a student gets before it answers.

    `teaching` is `None` when there is none to give, and `failure` says why: `probe_timeout`, `teacher_http_500`,
    `teacher_format` …; the student then answers alone. `tokens` are those of approach and teacher together.
    """

    question: str
    approach: str
    thinking: str
    teaching: str | None
    tokens: int
    failure: str | None = None


@dataclass(frozen=True)
class GuidedAnswer:
    """A student's answer, what it was told before, and what it says untaught where that was asked for.

    `lesson` is the id under which the lesson was recorded, `None` where it was not.
    """

    guidance: Guidance
    answer: Solution
    baseline: Solution | None = None
    lesson: str | None = None

    @property
    def text(self) -> str:
        """The answer's text."""
        return self.answer.text

    @property
    def teaching(self) -> str | None:
        """The text that the teacher told the student, `None` when there was none."""
        return self.guidance.teaching


class AdaptiveTeacher:
    """Teaches any student.

    Teacher and student are each a `Generator` (`generation.models` makes them of servers, APIs and local models) or a
    plain function from text to text, synchronous or not.

    Args:
        teacher: the model that teaches.
        templates: what is said to either model; by default the words of training.
        max_tokens: budget of an answer in tokens.
        max_probe_tokens: budget of the student's approach; 0 does not ask for one.
        max_completion_length: budget of the teacher's completion, its thinking included.
        temperature: of the teacher.
        student_temperature: of the student.
        student_top_p: of the student.
        max_concurrent_lessons: questions of a batch worked on at a time.
        verifier: judges answers to questions that come with a ground truth, or with tests in `extra`.
        teach_at: turns of the student at which its teacher speaks: `(0,)` before the first, `(0, k)` once more after
            turn k of a student with tools that has not answered by then.
        seed: the same seed, question and models give the same answer.
        record: directory to which every lesson is written, or what writes it; nothing is recorded without.
        name: what the teacher is called in recorded lessons.

    Raises:
        ConfigurationError: when the directory cannot be written to.
        ValueError: when `teach_at` is something else.
    """

    def __init__(
        self,
        teacher: Model,
        *,
        templates: PromptTemplates | None = None,
        max_tokens: int = 2048,
        max_probe_tokens: int = 500,
        max_completion_length: int = 2048,
        temperature: float = 0.7,
        student_temperature: float = 0.7,
        student_top_p: float = 1.0,
        max_concurrent_lessons: int = 16,
        verifier: Verifier | None = None,
        teach_at: Sequence[int] = (0,),
        seed: int = 0,
        record: str | Path | TraceRecorder | None = None,
        name: str = "teacher",
    ) -> None:
        generator = as_generator(teacher)
        count = getattr(generator, "count_tokens", estimated_tokens)
        self._teacher = Teacher(generator, cast(Callable[[str], int], count))
        self._templates = templates or default_templates()
        self._stages = Stages(
            student=Sampling(max_tokens, student_temperature, student_top_p),
            probe=Sampling(max_probe_tokens, student_temperature, student_top_p),
            teacher=Sampling(max_completion_length, temperature),
        )
        self._slots = max_concurrent_lessons
        self._verifier = verifier or _Unjudged()
        self._midway_at = midway_turn(teach_at)
        self._seed = seed
        self._recorder = record if record is None or isinstance(record, TraceRecorder) else TraceRecorder(record)
        self._name = name

    async def teach(
        self,
        question: str,
        student: Model,
        *,
        ground_truth: str | None = None,
        extra: Mapping[str, Any] | None = None,
        baseline: bool = False,
        conversation: str | None = None,
        student_name: str = THE_STUDENT,
        record: bool = True,
    ) -> GuidedAnswer:
        """Let the student answer a question with the teacher's help.

        Where the teacher fails, the student answers alone; `guidance.failure` says so. Where it fails in the middle,
        the student answers with the first teaching.

        Args:
            question: what is asked.
            student: who answers.
            ground_truth: what the verifier compares answers with.
            extra: what else it needs, as a row's further columns: tests, for the verifier of code.
            baseline: ask the student for its untaught answer besides, for comparison.
            conversation: what the questions of one conversation share, for recorded lessons; of a question that is
                alone, the question itself.
            student_name: what the student is called in recorded lessons.
            record: whether this lesson may be recorded, where lessons are.

        Raises:
            GenerationError: when the student itself does not answer.
        """
        protocol, asked = self._protocol(student), _question(question, ground_truth, extra)
        began, marks = datetime.now(UTC), [time.monotonic()]
        async with task_group() as tasks:
            untaught = tasks.create_task(self._alone(protocol, asked)) if baseline else None
            guidance = await self._guide(protocol, asked)
            marks.append(time.monotonic())
            answer = await self._answer(protocol, asked, guidance)
            marks.append(time.monotonic())
        answered = GuidedAnswer(guidance, answer, untaught.result() if untaught else None)
        if not record:
            return answered
        known = {"conversation": conversation_key(conversation or question), "student": student_name}
        seconds = {"guidance": marks[1] - marks[0], "answer": marks[2] - marks[1]}
        return await self._recorded(answered, began, seconds, **known, ground_truth=ground_truth)

    @overload
    async def teach_all(
        self, questions: Sequence[str], student: Model, *, baseline: bool = False, keep_going: Literal[False] = False
    ) -> list[GuidedAnswer]: ...

    @overload
    async def teach_all(
        self, questions: Sequence[str], student: Model, *, baseline: bool = False, keep_going: bool
    ) -> list[GuidedAnswer | GenerationError]: ...

    async def teach_all(
        self, questions: Sequence[str], student: Model, *, baseline: bool = False, keep_going: bool = False
    ) -> list[GuidedAnswer] | list[GuidedAnswer | GenerationError]:
        """Return answers to many questions, in order; a bounded number is worked on at a time.

        Args:
            questions: what is asked.
            student: who answers.
            baseline: whether to ask for untaught answers as well.
            keep_going: whether a question that the student does not answer gets the `GenerationError` in its place,
                instead of ending the others.

        Raises:
            GenerationError: when the student does not answer one of them; the others are given up then.
        """
        slots, model = asyncio.Semaphore(self._slots), as_generator(student)

        async def one(question: str) -> GuidedAnswer | GenerationError:
            async with slots:
                try:
                    return await self.teach(question, model, baseline=baseline)
                except GenerationError as error:
                    if not keep_going:
                        raise
                    return error

        async with task_group() as tasks:
            answers = [tasks.create_task(one(question)) for question in questions]
        return [answer.result() for answer in answers]

    async def guide(self, question: str, student: Model) -> Guidance:
        """Give only the help: the student's approach, and the teaching that answers it."""
        return await self._guide(self._protocol(student), _question(question))

    async def answer(self, question: str, student: Model, guidance: Guidance, *, record: bool = True) -> GuidedAnswer:
        """Return the student's answer after what `guide` gave; `record` says whether the lesson may be recorded.

        Raises:
            GenerationError: when the student does not answer.
        """
        began, started = datetime.now(UTC), time.monotonic()
        answered = GuidedAnswer(guidance, await self._answer(self._protocol(student), _question(question), guidance))
        seconds = {"answer": time.monotonic() - started}
        return await self._recorded(answered, began, seconds) if record else answered

    async def stream(
        self, question: str, student: Model, guidance: Guidance | None = None, *, record: bool = True
    ) -> AsyncGenerator[str]:
        """Yield the taught answer in pieces, as the student writes it.

        Whole at the end from a student that cannot stream.

        Args:
            question: what is asked.
            student: who answers.
            guidance: what `guide` gave; asked for when left out.
            record: whether the lesson may be recorded, where lessons are; one that is not read to its end is not.

        Raises:
            GenerationError: when the student does not answer.
        """
        async with aclosing(self.follow(question, student, guidance, record=record)) as pieces:
            async for piece in pieces:
                if isinstance(piece, str):
                    yield piece

    async def follow(
        self, question: str, student: Model, guidance: Guidance | None = None, *, record: bool = True
    ) -> AsyncGenerator[str | Solution]:
        """Yield the pieces of `stream` and, last, the answer itself: how long it is, and whether its budget cut it off.

        Raises:
            GenerationError: when the student does not answer.
        """
        model, began, marks = as_generator(student), datetime.now(UTC), [time.monotonic()]
        guidance = guidance or await self.guide(question, model)
        marks.append(time.monotonic())
        async with aclosing(self._followed(question, model, guidance)) as pieces:
            async for piece in pieces:
                if record and isinstance(piece, Solution):
                    seconds = {"guidance": marks[1] - marks[0], "answer": time.monotonic() - marks[1]}
                    await self._recorded(GuidedAnswer(guidance, piece), began, seconds)
                yield piece

    async def _followed(self, question: str, model: Generator, guidance: Guidance) -> AsyncGenerator[str | Solution]:
        if not isinstance(model, TextStreaming):
            answered = await self._answer(self._protocol(model), _question(question), guidance)
            yield answered.text
            yield answered
            return
        stage = "baseline" if guidance.teaching is None else "taught"
        seed = derive_seed(self._seed, _STEP, _row(question), stage)
        pieces = model.stream_text(self._prompt(guidance), sampling=self._stages.student, seed=seed)
        async with aclosing(cast(Any, pieces)):
            async for piece in pieces:
                yield self._unjudged(piece) if isinstance(piece, Completion) else piece

    def teach_sync(self, question: str, student: Model, **options: Any) -> GuidedAnswer:
        """Call `teach` without an event loop; models used this way belong to this object from then on."""
        return self._loop.run(self.teach(question, student, **options))

    def teach_all_sync(self, questions: Sequence[str], student: Model, **options: Any) -> list[GuidedAnswer]:
        """Call `teach_all` without an event loop."""
        return self._loop.run(self.teach_all(questions, student, **options))

    async def _recorded(
        self, answered: GuidedAnswer, began: datetime, seconds: Mapping[str, float], **known: Any
    ) -> GuidedAnswer:
        """Return a lesson after it was recorded, where lessons are; `known` are further fields of its trace."""
        if self._recorder is None:
            return answered
        when = began.isoformat(timespec="milliseconds")
        described: dict[str, Any] = {"teacher": self._name, "time": when, "seconds": seconds, **known}
        trace = replace(as_trace(answered, conversation_key(answered.guidance.question)), **described)
        written = await asyncio.to_thread(self._recorder.record, trace)
        return replace(answered, lesson=trace.id) if written else answered

    @cached_property
    def _loop(self) -> EventLoopThread:
        return EventLoopThread()

    def _protocol(self, student: Model) -> Protocol:
        return Protocol(
            as_generator(student),
            self._templates,
            self._verifier,
            _unscored,
            self._stages,
            seed=self._seed,
            midway_at=self._midway_at,
        )

    async def _guide(self, protocol: Protocol, question: Question) -> Guidance:
        prepared = await protocol.prepare(question, step=_STEP, num_baselines=0)
        if prepared.approach is None:
            return Guidance(question.text, "", "", None, 0, prepared.failure)
        drafts = protocol.drafts(prepared, self._teacher, step=_STEP, num_generations=1)
        async with aclosing(drafts):
            draft = await anext(drafts)
        return _guidance(draft, prepared.approach)

    async def _answer(self, protocol: Protocol, question: Question, guidance: Guidance) -> Solution:
        if guidance.teaching is None:
            return await self._alone(protocol, question)
        solved = await protocol.solve(question, guidance.teaching, step=_STEP, teacher=self._teacher)
        if isinstance(solved, MidwayError):
            # The first teaching is there: the student answers with that one.
            solved = await protocol.solve(question, guidance.teaching, step=_STEP)
        if isinstance(solved, GenerationError):
            raise solved
        return solved

    async def _alone(self, protocol: Protocol, question: Question) -> Solution:
        solved = await protocol.solve_alone(question, step=_STEP, number=1)
        if isinstance(solved, GenerationError):
            raise solved
        return solved[0]

    def _unjudged(self, completion: Completion) -> Solution:
        text, verdict = strip_reasoning(completion.text), NO_GROUND_TRUTH
        answered = self._verifier.extract(text) is not None
        return Solution(text, completion.tokens, completion.truncated, verdict.correct, answered, verdict.cause)

    def _prompt(self, guidance: Guidance) -> Prompt:
        if guidance.teaching is None:
            return self._templates.baseline(guidance.question)
        return self._templates.taught(guidance.question, guidance.teaching)


def as_trace(answered: GuidedAnswer, conversation: str) -> Trace:
    """Return a lesson in use as it is recorded, under a new id, as yet without names and times."""
    guidance, midway = answered.guidance, answered.answer.midway
    alone = answered.answer if guidance.teaching is None else answered.baseline
    return Trace(
        id=new_id(),
        conversation=conversation,
        student=THE_STUDENT,
        teacher="teacher",
        question=guidance.question,
        approach=guidance.approach,
        thinking=guidance.thinking,
        teaching=guidance.teaching,
        taught=None if guidance.teaching is None else answered.text,
        baseline=alone.text if alone else None,
        failure=guidance.failure,
        transcript=midway.transcript if midway else None,
        second_thinking=midway.thinking if midway else None,
        second_teaching=midway.teaching if midway else None,
    )


def as_generator(model: Model) -> Generator:
    """Return a model of the protocol, made of a plain function where it is one.

    Raises:
        TypeError: when it is neither, such as a model's name, or a model that has to be wrapped.
    """
    if inspect.iscoroutinefunction(getattr(model, "generate", None)):
        return cast(Generator, model)
    if hasattr(model, "generate") or not can_act(model):
        given = f"{type(model).__name__} {model!r}" if isinstance(model, str) else type(model).__name__
        expected = "expected a function from text to text, an agent with act, or a model of trainers.generation.models"
        raise TypeError(f"{expected}, got {given}")
    return FunctionModel(model)


def default_templates(words: str = "adaptive_teaching") -> PromptTemplates:
    """Return the words of training: `adaptive_teaching`, or `world` for models of the embedded world."""
    text = (_WORDS / f"{words}.yaml").read_text(encoding="utf-8")
    return PromptTemplates(**{key: value for key, value in yaml.safe_load(text).items() if key.endswith("_template")})


def _guidance(draft: Lesson, approach: Approach) -> Guidance:
    tokens = approach.tokens + (draft.sample.completion.tokens if draft.sample else 0)
    failure = draft.failure or ("teacher_format" if draft.teaching is None else None)
    return Guidance(draft.prepared.question.text, approach.text, draft.thinking, draft.teaching, tokens, failure)


def _question(text: str, ground_truth: str | None = None, extra: Mapping[str, Any] | None = None) -> Question:
    return Question(_row(text), text, ground_truth, dict(extra or {}))


def _row(text: str) -> int:
    """Return a number that stands for a question, so that its seeds are its own."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1


def _unscored(lesson: Lesson) -> None:
    """Nothing is rewarded outside of training."""


class _Unjudged:
    """The verifier of questions that nobody knows the answer to."""

    async def verify(self, solution: str, question: Question) -> Verdict:
        return NO_GROUND_TRUTH

    def extract(self, solution: str) -> str | None:
        return extract_answer(solution)
