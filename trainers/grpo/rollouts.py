"""The global rollout: run by rank 0 alone, for the rows of all ranks, in an event loop of its own thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import fmean

from trainers.concurrency.event_loop import EventLoopThread, wait
from trainers.generation.agents.tool_loop import ToolLoop
from trainers.generation.api.usage import Account
from trainers.generation.client import ModelClient
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.generation.vllm.greedy import GreedySample, greedy_samples
from trainers.grpo.curriculum.dynamic_sampling import SampledGroups, Spares, run_with_spares
from trainers.grpo.distillation.mentor import Mentor, Reader, Readings
from trainers.grpo.rollout_costs import Cost, cost_since
from trainers.grpo.rollout_progress import progress_shown
from trainers.teaching.lesson import Group, Lesson, Question
from trainers.teaching.metrics import tokens_by_stage
from trainers.teaching.protocol import Protocol, Teacher
from trainers.teaching.student_pool import StudentPool

EVALUATION = -1
"""The step of periodic evaluations: the same requests each time, and none of training's."""


@dataclass(frozen=True)
class Rollout:
    """The groups of one rollout, and what it took.

    Args:
        groups: those to train on, one for each question.
        seconds: wall time.
        idle: share of it in which the servers had nothing to do, by role.
        costs: of those who charge for their part of it.
        students: names of the pool that it was drawn from; empty without one.
        discarded: groups that were sampled and are not trained on.
        replaced: how many of `groups` replace one that teaches nothing; `None` where none is replaced.
        readings: what a mentor makes of each of `groups`; `None` without a mentor.
    """

    groups: list[Group]
    seconds: float
    idle: Mapping[str, float]
    costs: tuple[Cost, ...] = ()
    students: tuple[str, ...] = ()
    discarded: tuple[Group, ...] = ()
    replaced: int | None = None
    readings: tuple[Readings, ...] | None = None

    @property
    def sampled(self) -> list[Group]:
        """All groups that were sampled, those trained on first."""
        return [*self.groups, *self.discarded]

    @property
    def failures(self) -> int:
        """Number of failures in what was sampled: requests, verdicts, dropped groups, checks for leaks, readings."""
        lessons = [lesson for group in self.sampled for lesson in group.lessons]
        unread = sum(reading.failure is not None for reading in self.readings or ())
        unjudged = sum(each.score is None for group in self.sampled for each in group.prepared.baselines)
        dropped = sum(group.dropped is not None for group in self.sampled)
        failed = sum(bool(each.failure or (each.blind and each.blind.cause)) for each in lessons)
        return unread + unjudged + dropped + failed

    def metrics(self) -> dict[str, float]:
        """Cost metrics under the names of the design."""
        tokens = tokens_by_stage(self.sampled)
        total = sum(tokens.values())
        return {
            "time/rollout_s": self.seconds,
            "generated_tokens": float(total),
            **{f"generated_tokens/{stage}": float(count) for stage, count in tokens.items()},
            "rollout_tokens_per_s": total / self.seconds if self.seconds else 0.0,
            **{f"servers_idle/{role}": share for role, share in self.idle.items()},
            **{name: value for cost in self.costs for name, value in cost.metrics().items()},
        }


class PendingRollout:
    """A rollout on its way, while its caller does something else."""

    def __init__(self, future: Future[Rollout]) -> None:
        self._future = future

    @property
    def done(self) -> bool:
        """True when `result` does not wait."""
        return self._future.done()

    def ended(self, timeout_s: float) -> bool:
        """Wait for the rollout up to `timeout_s` seconds; return whether it has ended, well or not."""
        return bool(futures.wait([self._future], timeout_s).done)

    def result(self) -> Rollout:
        """Wait for the rollout; an interrupt while waiting cancels it."""
        return wait(self._future)

    def cancel(self) -> None:
        """Give the rollout up, and with it all its requests; `result` raises `CancelledError` from now on."""
        self._future.cancel()


class RolloutRunner:
    """Asks the protocol for lessons and knows the models behind it.

    Args:
        protocol: how lessons are made.
        teacher_pool: the servers that hold the policy.
        student_pools: the servers or APIs of the students, also inside `protocol`.
        count_tokens: length of a text in the teacher's tokenizer.
        accounts: those of student and verifier, where they are charged for, by role.
        shared_accounts: those of students in a pool, who lose their own groups when there is nothing left to spend.
        evaluated: how the lessons of periodic evaluations are made, when not by `protocol`.
        mentor: reads the lessons that are trained on, where the teacher is distilled.
    """

    def __init__(
        self,
        protocol: Protocol | StudentPool,
        teacher_pool: EndpointPool,
        student_pools: Sequence[ModelClient],
        count_tokens: Callable[[str], int],
        accounts: Mapping[str, Account] | None = None,
        shared_accounts: Mapping[str, Account] | None = None,
        evaluated: Protocol | StudentPool | None = None,
        mentor: Mentor | None = None,
    ) -> None:
        self.protocol = protocol
        self.teacher_pool = teacher_pool
        self.student_pools = tuple(student_pools)
        self.teacher = Teacher(teacher_pool, count_tokens)
        self.accounts = dict(accounts or {})
        self._charged = {**self.accounts, **(shared_accounts or {})}
        self._evaluated = evaluated or protocol
        self._mentor = mentor
        self._loop = EventLoopThread()

    def run(self, questions: Sequence[Question], *, step: int, num_generations: int, num_baselines: int) -> Rollout:
        """Teach the questions; one group each, in order."""
        return self.start(questions, step=step, num_generations=num_generations, num_baselines=num_baselines).result()

    def start(
        self,
        questions: Sequence[Question],
        spares: Spares | None = None,
        *,
        step: int,
        num_generations: int,
        num_baselines: int,
    ) -> PendingRollout:
        """Begin to teach the questions and return at once; with `spares`, replace those that teach nothing."""
        how = {"step": step, "num_generations": num_generations, "num_baselines": num_baselines}
        return PendingRollout(self._loop.start(self._rollout(self.protocol, questions, spares, self._mentor, **how)))

    def evaluate(self, questions: Sequence[Question], *, num_generations: int) -> Rollout:
        """Teach questions that are not trained on, to held-out students where there are any; one group each."""
        how = {"step": EVALUATION, "num_generations": num_generations, "num_baselines": num_generations}
        return self._loop.run(self._rollout(self._evaluated, questions, None, None, **how))

    def greedy_samples(self, questions: Sequence[Question], max_tokens: int) -> list[GreedySample]:
        """Let every teacher server teach the questions greedily, as if their students had given no approach."""
        prompts = [self.protocol.templates.teacher(question.text, "") for question in questions]
        return self._loop.run(greedy_samples(self.teacher_pool, prompts, max_tokens))

    def close(self) -> None:
        """Give up what still runs, then close connections, verifier, reward and the loop."""
        with ExitStack() as closing:
            # In reverse, and each also when another one fails.
            closing.callback(self._loop.close)
            readers = () if self._mentor is None else (self._mentor.reader,)
            for part in (self.protocol, *self.student_pools, self.teacher_pool, *readers):
                closing.callback(self._let_go, part)
            closing.callback(self._loop.cancel_all)

    def _let_go(self, part: Protocol | StudentPool | ModelClient | Reader) -> None:
        self._loop.run(part.aclose())

    async def _rollout(
        self,
        protocol: Protocol | StudentPool,
        questions: Sequence[Question],
        spares: Spares | None,
        mentor: Mentor | None,
        **how: int,
    ) -> Rollout:
        busy = self._busy()
        usage, start = {role: account.usage for role, account in self._charged.items()}, time.monotonic()
        async with progress_shown(protocol.tally):
            if spares is None:
                sampled = SampledGroups(await protocol.run(questions, self.teacher, **how), [], 0)
            else:
                sampled = await run_with_spares(protocol, questions, spares, self.teacher, **how)
            readings = None if mentor is None else tuple(await mentor.read(sampled.kept))
        seconds = time.monotonic() - start
        costs = tuple(cost_since(usage[role], account, role) for role, account in self._charged.items())
        idle = {role: max(0.0, 1 - (now - busy[role]) / seconds) for role, now in self._busy().items()}
        students = tuple(protocol.protocols) if isinstance(protocol, StudentPool) else ()
        replaced = None if spares is None else sampled.replaced
        return Rollout(sampled.kept, seconds, idle, costs, students, tuple(sampled.discarded), replaced, readings)

    def _busy(self) -> dict[str, float]:
        """Return the seconds for which the servers of each role have had anything to do, on average over its pools."""
        readers = [] if self._mentor is None else [self._mentor.reader]
        pools: Mapping[str, Sequence[object]] = {
            "teacher": [self.teacher_pool],
            "student": self.student_pools,
            "mentor": readers,
        }
        ours = {
            role: [pool.busy_s for pool in map(_asked, found) if isinstance(pool, EndpointPool)]
            for role, found in pools.items()
        }
        return {role: fmean(seconds) for role, seconds in ours.items() if seconds}


def _asked(model: object) -> object:
    """Return what reaches the servers: of a model with tools, the model."""
    return model.model if isinstance(model, ToolLoop) else model


@dataclass(frozen=True)
class TrainingRow:
    """A lesson as a rank needs it to train on; `trained=False` masks the whole row out of the loss.

    `mentor_logprobs` are a mentor's log-probabilities of `completion_ids`, `None` without a mentor.
    """

    prompt_ids: list[int]
    completion_ids: list[int]
    logprobs: list[float]
    reward: float | None
    trained: bool
    mentor_logprobs: list[float] | None = None


def training_rows(
    groups: Sequence[Group], filler_id: int, readings: Sequence[Readings] | None = None
) -> list[TrainingRow]:
    """Return the lessons of all groups as training rows.

    Those of dropped groups and unscorable lessons are masked out; with a mentor, whatever it has not read.
    """
    rows = [training_row(lesson, group.dropped is None, filler_id) for group in groups for lesson in group.lessons]
    if readings is None:
        return rows
    kept = [group.dropped is None for group in groups for _ in group.lessons]
    read = [logprobs for reading in readings for logprobs in reading.lessons]
    return [_distilled(row, logprobs if keep else None) for row, keep, logprobs in zip(rows, kept, read, strict=True)]


def _distilled(row: TrainingRow, logprobs: Sequence[float] | None) -> TrainingRow:
    """Return a row that is trained on where a mentor has read it, whatever became of the student."""
    known = None if logprobs is None else list(logprobs)
    return replace(row, trained=known is not None, mentor_logprobs=known)


def training_row(lesson: Lesson, kept: bool, filler_id: int) -> TrainingRow:
    """Return one lesson as a training row; a lesson that was never sampled becomes one filler token, masked out."""
    reward = lesson.reward if kept else None
    if lesson.sample is None or not lesson.sample.completion.token_ids:
        return TrainingRow([filler_id], [filler_id], [0.0], None, False)
    completion = lesson.sample.completion
    assert completion.logprobs is not None
    return TrainingRow(
        list(lesson.sample.prompt_ids),
        list(completion.token_ids),
        list(completion.logprobs),
        reward,
        trained=reward is not None,
    )
