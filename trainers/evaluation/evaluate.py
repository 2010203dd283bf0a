"""Evaluation: students alone and with each teacher, on the same questions, baselines and approaches.

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
from trainers.builders.protocol import build_protocols
from trainers.builders.student_and_teacher import account_of, accounts_of, connect_students, opened_teacher
from trainers.configuration.devices.placement import teacher_entries
from trainers.configuration.resume.decision import mark_finished
from trainers.configuration.resume.evaluations import (
    DATASET,
    fingerprints,
    read_models,
    student_record,
    write_models,
)
from trainers.configuration.settings.experiments import EvaluationExperiment
from trainers.configuration.settings.students import all_members
from trainers.evaluation.lesson_files import (
    LESSONS,
    STUDENT_ALONE,
    Meeting,
    alone_record,
    answered,
    causes,
    held,
    keep,
    meeting,
    taught_records,
)
from trainers.evaluation.measures.results import Results, results_of
from trainers.evaluation.measures.solved_questions import Alone, Effort, MeteredGenerator, Taught, counted, metered
from trainers.evaluation.reports.results import settings_of, write_results
from trainers.generation.api.usage import CAP_REACHED, Account
from trainers.jsonl import append
from trainers.problems import ConfigurationError, Problem
from trainers.progress import Count
from trainers.teaching.lesson import THE_STUDENT, Prepared, Question
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
        clients = connect_students(config, all_members(config))
        for client in {id(client): client for client in clients.values()}.values():
            stack.push_async_callback(client.aclose)
        protocols = build_protocols(config, {name: MeteredGenerator(client) for name, client in clients.items()})
        shared = next(iter(protocols.values()))
        stack.push_async_callback(shared.aclose)
        evaluation = Evaluation(
            protocols,
            output,
            config.teaching.num_baselines,
            config.evaluation.num_rollouts,
            config.evaluation.eval_concurrency,
        )
        teachers = list(teacher_entries(config))
        solved = await evaluation.solve_alone(questions, alone, probing=bool(teachers))
        check_answers(config, solved)
        lessons, accounts = {}, [*map(account_of, clients.values()), *accounts_of(shared.verifier).values()]
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
) -> tuple[dict[Meeting, Alone], dict[str, dict[Meeting, Taught]]]:
    """Return what an earlier part of the same evaluation left; remove from its files what no longer holds.

    Both are by student and row, lessons by teacher before.
    """
    recorded, found = read_models(output) or {}, fingerprints(config)
    students = [member.name for member in all_members(config)]
    same_data = recorded.get(DATASET) == found[DATASET]
    models = {**recorded, **found} if same_data else found
    teachers = teacher_entries(config)

    def same_student(name: str) -> bool:
        record = student_record(name)
        return same_data and record in recorded and recorded[record] == models[record]

    def usable_alone(item: Alone) -> bool:
        asked = not teachers or item.prepared.approach is not None or item.prepared.failure is not None
        whole = len(item.prepared.baselines) in (0, config.teaching.num_baselines)
        return same_student(item.prepared.student) and answered(item) and asked and whole

    def usable_taught(teacher: str, item: Taught) -> bool:
        name = f"teacher {teacher}"
        same = name in recorded and recorded[name] == models[name]
        return same and held(item) and len(item.group.lessons) == config.evaluation.num_rollouts

    try:
        alone, taught = keep(output, questions, list(teachers), usable_alone, usable_taught, students)
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
        protocols: how the lessons of each student are made, by its name.
        output: where they are written.
        num_baselines: how often each student solves each question alone.
        num_rollouts: lessons per question, teacher and student.
        concurrency: questions worked on at a time.
    """

    protocols: Mapping[str, Protocol]
    output: Path
    num_baselines: int
    num_rollouts: int
    concurrency: int

    async def solve_alone(
        self, questions: Sequence[Question], done: Mapping[Meeting, Alone], *, probing: bool
    ) -> list[Alone]:
        """Ask for baselines and, where there is somebody to teach, approaches of all questions.

        They come in the order of students, and for each in that of the questions.
        """

        async def one(where: tuple[Protocol, Question]) -> Alone:
            protocol, question = where
            if (found := done.get((protocol.name, question.row))) is not None:
                return found
            item = await self._alone(protocol, question, probing)
            append(self.output / STUDENT_ALONE, [alone_record(item)])
            return item

        asked = [(protocol, question) for protocol in self.protocols.values() for question in questions]
        return await self._bounded(one, asked, "student alone" if len(self.protocols) == 1 else "students alone")

    async def teach(
        self, name: str, teacher: Teacher, solved: Sequence[Alone], done: Mapping[Meeting, Taught]
    ) -> list[Taught]:
        """Hold the lessons of one teacher on all that was solved alone, in its order."""
        counting = counted(teacher)

        async def one(item: Alone) -> Taught:
            if (found := done.get(meeting(item.prepared))) is not None:
                return found
            protocol = self.protocols[item.prepared.student]
            with metered(self.concurrency) as meter:
                # Blind checks are no part of what a lesson takes: they come after it, and off the meter.
                group = await replace(protocol, audit=None).teach(
                    item.prepared, counting, step=EVALUATION_STEP, num_generations=self.num_rollouts
                )
            taught = Taught(await protocol.audited(group, step=EVALUATION_STEP), meter.effort)
            append(self.output / LESSONS, taught_records(name, taught))
            return taught

        return await self._bounded(one, solved, name)

    async def _alone(self, protocol: Protocol, question: Question, probing: bool) -> Alone:
        """Ask for solutions and approach at the same time, but measure them apart."""
        stages = protocol.stages
        unprobed = replace(protocol, stages=replace(stages, probe=replace(stages.probe, max_tokens=0)))

        async def measured(asking: Protocol, num_baselines: int) -> tuple[Prepared, Effort]:
            with metered(self.concurrency) as meter:
                prepared = await asking.prepare(question, step=EVALUATION_STEP, num_baselines=num_baselines)
            return prepared, meter.effort

        (solved, solving), (probed, probing_effort) = await asyncio.gather(
            measured(unprobed, self.num_baselines), measured(protocol if probing else unprobed, 0)
        )
        approach, failure = probed.approach if probing else None, solved.failure or probed.failure
        return Alone(Prepared(question, solved.baselines, approach, failure, protocol.name), solving, probing_effort)

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
    """Go no further without a student that answers, such as with one under a name that its API does not know.

    One of several that answers nothing is told: the others go on, and its part is asked for again.

    Raises:
        ConfigurationError: when none answers; what they failed with is in `student_alone.jsonl` and asked for again.
    """
    problems = []
    for member in all_members(config):
        items = [item for item in solved if item.prepared.student == member.name]
        if not items or any(answered(item) for item in items):
            continue
        causes = dict(Counter(item.prepared.failure for item in items))
        expected = f"answered none of {len(items)} questions; causes: {causes}"
        remedy = "mend what the messages above say, then the same command goes on"
        problems.append(Problem(f"{member.key('model')}={member.config.student.model}", expected, remedy))
    if problems and len(problems) == len(all_members(config)):
        raise ConfigurationError(problems)
    for problem in problems:
        logger.error("%s %s: the other students go on, and means are over them", problem.given, problem.expected)


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
        mark_finished(config, steps=results.questions)
        return
    logger.warning(
        "the results lack what models did not answer, by cause: %s. The same command asks for it again%s.",
        dict(missing),
        _higher_caps(missing, results.students),
    )


def _higher_caps(missing: Collection[str | None], students: Sequence[str]) -> str:
    """Say which caps are to be raised, by the causes of what is missing."""
    reached = [str(cause) for cause in missing if str(cause).endswith(f"_{CAP_REACHED}")]
    of_student = "student_spending_cap" if list(students) == [THE_STUDENT] else "spending_cap of the student"
    keys = {"spending_cap of the teacher" if cause.startswith("teacher_") else of_student for cause in reached}
    return f", with a higher {' and a higher '.join(sorted(keys))}" if keys else ""
