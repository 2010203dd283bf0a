"""Evaluation: the student alone and with each teacher, on the same questions, baselines and approaches.

Lessons are written as they come (`evaluation.lesson_files`); an evaluation that was interrupted goes on after them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from trainers.builders.data import load_questions
from trainers.builders.protocol import build_protocol
from trainers.builders.student_and_teacher import account_of, connect_student, opened_teacher
from trainers.configuration.devices.placement import teacher_entries
from trainers.configuration.resume.decision import mark_finished
from trainers.configuration.resume.evaluations import DATASET, STUDENT, fingerprints, read_models, write_models
from trainers.configuration.settings.experiments import EvaluationExperiment
from trainers.evaluation.lesson_files import (
    LESSONS,
    STUDENT_ALONE,
    alone_record,
    answered,
    causes,
    held,
    keep,
    taught_records,
)
from trainers.evaluation.measures.solved_questions import Alone, Effort, MeteredGenerator, Taught, counted, metered
from trainers.evaluation.reports.results import Results, results_of, settings_of, write_results
from trainers.generation.api.usage import CAP_REACHED, Account
from trainers.jsonl import append
from trainers.problems import ConfigurationError, Problem
from trainers.progress import Count
from trainers.teaching.lesson import Prepared, Question
from trainers.teaching.protocol import Protocol, Teacher

logger = logging.getLogger(__name__)
T = TypeVar("T")
Item = TypeVar("Item")

EVALUATION_STEP = 0
"""Requests of an evaluation derive their seeds from this step, so that the same seed gives the same lessons."""


def run(config: EvaluationExperiment) -> None:
    """Evaluate as configured; write tables, plots, lessons and their page to `output_dir`."""
    asyncio.run(evaluate(config))


async def evaluate(config: EvaluationExperiment) -> Results:
    """Hold all lessons against the servers of the configuration, and write what they say."""
    output = Path(config.output.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    questions = load_questions(config)[1][: config.evaluation.eval_max_samples]
    alone, taught = earlier_part(config, output, questions)
    async with AsyncExitStack() as stack:
        student = connect_student(config)
        stack.push_async_callback(student.aclose)
        protocol = build_protocol(config, MeteredGenerator(student))
        stack.push_async_callback(protocol.aclose)
        evaluation = Evaluation(
            protocol,
            output,
            config.teaching.num_baselines,
            config.evaluation.num_rollouts,
            config.evaluation.eval_concurrency,
        )
        teachers = list(teacher_entries(config))
        solved = await evaluation.solve_alone(questions, alone, probing=bool(teachers))
        check_answers(config, solved)
        lessons, accounts = {}, [account_of(student), account_of(protocol.verifier)]
        for name in teachers:
            async with opened_teacher(config, name) as teacher:
                lessons[name] = await evaluation.teach(name, teacher, solved, taught.get(name, {}))
                accounts.append(account_of(teacher.generator))
    results = results_of(solved, lessons, settings_of(config))
    write_results(config, results)
    finish(config, results)
    report_spending([account for account in accounts if account is not None])
    return results


def earlier_part(
    config: EvaluationExperiment, output: Path, questions: Sequence[Question]
) -> tuple[dict[int, Alone], dict[str, dict[int, Taught]]]:
    """Return what an earlier part of the same evaluation left, by row; remove from its files what no longer holds."""
    recorded, found = read_models(output) or {}, fingerprints(config)
    same_student = all(recorded.get(name) == found[name] for name in (STUDENT, DATASET))
    models = {**recorded, **found} if same_student else found
    teachers = teacher_entries(config)

    def usable_alone(item: Alone) -> bool:
        asked = not teachers or item.prepared.approach is not None or item.prepared.failure is not None
        whole = len(item.prepared.baselines) in (0, config.teaching.num_baselines)
        return same_student and answered(item) and asked and whole

    def usable_taught(teacher: str, item: Taught) -> bool:
        name = f"teacher {teacher}"
        same = name in recorded and recorded[name] == models[name]
        return same and held(item) and len(item.group.lessons) == config.evaluation.num_rollouts

    try:
        alone, taught = keep(output, questions, list(teachers), usable_alone, usable_taught)
    except ValueError as error:
        remedy = "use the version of ATLAS that wrote it, or resume=never, which sets it aside and evaluates anew"
        raise ConfigurationError([Problem(f"output_dir={output}", f"cannot be continued: {error}", remedy)]) from error
    write_models(output, models)
    if alone:
        held_lessons = {name: len(items) for name, items in taught.items() if items}
        logger.info("continues: %d questions solved alone, taught %s", len(alone), held_lessons or "none")
    return alone, taught


@dataclass(frozen=True)
class Evaluation:
    """Asks for lessons, a bounded number of questions at a time, and writes each question's as soon as it has them.

    Args:
        protocol: how lessons are made.
        output: where they are written.
        num_baselines: how often the student solves each question alone.
        num_rollouts: lessons per question and teacher.
        concurrency: questions worked on at a time.
    """

    protocol: Protocol
    output: Path
    num_baselines: int
    num_rollouts: int
    concurrency: int

    async def solve_alone(
        self, questions: Sequence[Question], done: Mapping[int, Alone], *, probing: bool
    ) -> list[Alone]:
        """Ask for baselines and, where there is somebody to teach, approaches of all questions, in order."""

        async def one(question: Question) -> Alone:
            if question.row in done:
                return done[question.row]
            item = await self._alone(question, probing)
            append(self.output / STUDENT_ALONE, [alone_record(item)])
            return item

        return await self._bounded(one, questions, "student alone")

    async def teach(
        self, name: str, teacher: Teacher, solved: Sequence[Alone], done: Mapping[int, Taught]
    ) -> list[Taught]:
        """Hold the lessons of one teacher, question by question, in order."""
        counting = counted(teacher)

        async def one(item: Alone) -> Taught:
            row = item.prepared.question.row
            if row in done:
                return done[row]
            with metered(self.concurrency) as meter:
                # Blind checks are no part of what a lesson takes: they come after it, and off the meter.
                group = await replace(self.protocol, audit=None).teach(
                    item.prepared, counting, step=EVALUATION_STEP, num_generations=self.num_rollouts
                )
            taught = Taught(await self.protocol.audited(group, step=EVALUATION_STEP), meter.effort)
            append(self.output / LESSONS, taught_records(name, taught))
            return taught

        return await self._bounded(one, solved, name)

    async def _alone(self, question: Question, probing: bool) -> Alone:
        """Ask for solutions and approach at the same time, but measure them apart."""
        stages = self.protocol.stages
        unprobed = replace(self.protocol, stages=replace(stages, probe=replace(stages.probe, max_tokens=0)))

        async def measured(protocol: Protocol, num_baselines: int) -> tuple[Prepared, Effort]:
            with metered(self.concurrency) as meter:
                prepared = await protocol.prepare(question, step=EVALUATION_STEP, num_baselines=num_baselines)
            return prepared, meter.effort

        (solved, solving), (probed, probing_effort) = await asyncio.gather(
            measured(unprobed, self.num_baselines), measured(self.protocol if probing else unprobed, 0)
        )
        approach = probed.approach if probing else None
        prepared = Prepared(question, solved.baselines, approach, solved.failure or probed.failure)
        return Alone(prepared, solving, probing_effort)

    async def _bounded(self, one: Callable[[Item], Awaitable[T]], items: Sequence[Item], title: str) -> list[T]:
        slots = asyncio.Semaphore(self.concurrency)
        count = Count(title, len(items), "questions")

        async def counted(item: Item) -> T:
            async with slots:
                result = await one(item)
            count.advance()
            return result

        return list(await asyncio.gather(*map(counted, items)))


def check_answers(config: EvaluationExperiment, solved: Sequence[Alone]) -> None:
    """Go no further with a student that answers nothing at all, such as one under a name that its API does not know.

    Raises:
        ConfigurationError: when it is so; what it failed with is in `student_alone.jsonl` and asked for again.
    """
    if not solved or any(answered(item) for item in solved):
        return
    causes = dict(Counter(item.prepared.failure for item in solved))
    expected = f"answered none of {len(solved)} questions; causes: {causes}"
    remedy = "mend what the messages above say, then the same command goes on"
    raise ConfigurationError([Problem(f"student_model={config.student.model}", expected, remedy)])


def report_spending(accounts: Sequence[Account]) -> None:
    """Say what APIs with prices were paid, by model and together, all parts of this evaluation included."""
    spent = {account.name: account.usage.cost_usd for account in accounts if account.priced}
    if spent:
        listed = ", ".join(f"{name} {usd:.4f}" for name, usd in spent.items())
        logger.info("spent on APIs: %s; %.4f USD in all", listed, sum(spent.values()))


def finish(config: EvaluationExperiment, results: Results) -> None:
    """Record that the evaluation is complete, or say what is missing of it."""
    missing = Counter(item.prepared.failure for item in results.alone if not answered(item))
    for items in results.taught.values():
        missing += Counter(cause for item in items if not held(item) for cause in causes(item))
    if not missing:
        mark_finished(config, steps=len(results.alone))
        return
    logger.warning(
        "the results lack what models did not answer, by cause: %s. The same command asks for it again%s.",
        dict(missing),
        _higher_caps(missing),
    )


def _higher_caps(missing: Collection[str | None]) -> str:
    """Say which caps are to be raised, by the causes of what is missing."""
    reached = [str(cause) for cause in missing if str(cause).endswith(f"_{CAP_REACHED}")]
    keys = {
        "spending_cap of the teacher" if cause.startswith("teacher_") else "student_spending_cap" for cause in reached
    }
    return f", with a higher {' and a higher '.join(sorted(keys))}" if keys else ""
