"""Run a search for prompts: one teacher, the students of a run, its reward and verifier, and an optimiser of texts."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from trainers import plugins
from trainers.builders.data import load_questions
from trainers.builders.protocol import build_protocols
from trainers.builders.student_and_teacher import api_settings, connect_api, connect_students, opened_teacher
from trainers.concurrency.event_loop import EventLoopThread
from trainers.configuration.devices.placement import teacher_entries
from trainers.configuration.resume.decision import mark_finished
from trainers.configuration.resume.evaluations import fingerprints, write_models
from trainers.configuration.settings.experiments import PromptSearchExperiment
from trainers.configuration.settings.students import all_members, members
from trainers.generation.agent_model import AgentModel
from trainers.generation.reasoning import strip_reasoning
from trainers.generation.types import Generator, Message, Prompt, Sampling
from trainers.problems import ConfigurationError, Problem
from trainers.prompt_search.adapter import LessonAdapter
from trainers.prompt_search.lessons import STEP, SearchLessons
from trainers.prompt_search.report import RECIPE, Found, Kept, write_found
from trainers.teaching.lesson import Question
from trainers.teaching.student_pool import draw

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Searched:
    """The questions of a search: those that templates are made of, and those that they are compared on."""

    training: list[Question]
    validation: list[Question]


def run(config: PromptSearchExperiment) -> None:
    """Search as configured; write lessons, proposals, the table and the recipe to `output_dir`."""
    output = Path(config.output.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    questions = parted(config, load_questions(config)[1][: config.evaluation.eval_max_samples])
    write_models(output, fingerprints(config))
    loop = EventLoopThread()
    models = loop.run(_connected(config, questions, output))
    try:

        def reflect(text: str, seed: int) -> str:
            return loop.run(_reflection(models.reflecting, config, text, seed))

        adapter = LessonAdapter(
            lambda templates, asked: loop.run(models.lessons.hold(templates, asked)), reflect, config.prompts, output
        )
        kept = optimised(config, adapter, questions)
        found = Found(kept, models.lessons.held, adapter.unscored)
    finally:
        loop.run(models.stack.aclose())
        loop.close()
    write_found(output, found)
    mark_finished(config, steps=found.lessons)
    logger.info(
        "best of %d: mean reward %.3f, at first %.3f; scripts/evaluate.sh %s teacher=… evaluates it",
        *(len(kept), found.best.reward, kept[0].reward, output / RECIPE),
    )


def parted(config: PromptSearchExperiment, questions: Sequence[Question]) -> Searched:
    """Part the questions by seed.

    Raises:
        ConfigurationError: when there are too few.
    """
    validation, least = (
        config.search.search_validation,
        config.search.search_validation + config.search.search_minibatch,
    )
    if len(questions) < least:
        given = f"search_validation={validation} search_minibatch={config.search.search_minibatch}"
        expected = f"there are {len(questions)} questions in {config.data.dataset_id_or_path}"
        raise ConfigurationError([Problem(given, expected, "lower them, or give more questions")])
    order = random.Random(f"{config.output.seed} prompt search").sample(range(len(questions)), len(questions))
    chosen = [questions[index] for index in order]
    return Searched(chosen[validation:], chosen[:validation])


def optimised(config: PromptSearchExperiment, adapter: LessonAdapter, questions: Searched) -> list[Kept]:
    """Return the templates that the optimiser has kept, those that it began with first."""
    # Only this needs the package.
    from gepa.api import optimize

    result: Any = optimize(
        seed_candidate={name: getattr(config.prompts, name) for name in config.search.searched_templates},
        trainset=questions.training,
        valset=questions.validation,
        # Its type is fixed where one adapter may write any kind of trajectory.
        adapter=cast(Any, adapter),
        reflection_minibatch_size=config.search.search_minibatch,
        skip_perfect_score=False,
        max_metric_calls=config.search.search_budget // config.evaluation.num_rollouts,
        logger=_Log(),
        seed=config.output.seed,
        raise_on_exception=True,
    )
    rows: zip[tuple[dict[str, str], float, Sequence[int | None]]] = zip(
        result.candidates, result.val_aggregate_scores, result.parents, strict=True
    )
    return [Kept(templates, reward, next(iter(parents), None)) for templates, reward, parents in rows]


class _Log:
    """Hand on what the optimiser says, where only those who ask for it see it."""

    def log(self, message: Any) -> None:
        logger.debug("%s", message)


@dataclass(frozen=True)
class _Models:
    lessons: SearchLessons
    reflecting: Generator
    stack: AsyncExitStack


async def _connected(config: PromptSearchExperiment, questions: Searched, output: Path) -> _Models:
    """Connect everyone who is asked."""
    async with AsyncExitStack() as stack:
        clients = connect_students(config, all_members(config))
        for client in {id(client): client for client in clients.values()}.values():
            stack.push_async_callback(client.aclose)
        protocols = build_protocols(config, clients)
        stack.push_async_callback(next(iter(protocols.values())).aclose)
        [name] = teacher_entries(config)
        teacher = await stack.enter_async_context(opened_teacher(config, name))
        reflecting = _reflecting(config, stack) or teacher.generator
        lessons = SearchLessons(
            protocols,
            students_of(config, questions),
            teacher,
            output,
            config.evaluation.num_rollouts,
            config.teaching.num_baselines,
            config.evaluation.eval_concurrency,
        )
        return _Models(lessons, reflecting, stack.pop_all())
    raise AssertionError


def students_of(config: PromptSearchExperiment, questions: Searched) -> Mapping[int, str]:
    """Return who is asked each question, by its row: the pool's students in their proportions, whatever is tried."""
    weights = {member.name: member.weight for member in members(config) or all_members(config)}
    rows = [question.row for part in (questions.validation, questions.training) for question in part]
    names = draw(rows, weights, seed=config.output.seed, step=STEP)
    return dict(zip(rows, names, strict=True))


def _reflecting(config: PromptSearchExperiment, stack: AsyncExitStack) -> Generator | None:
    """Connect the model that proposes; `None` where the teacher itself does."""
    settings = config.reflection
    model: AgentModel | Any
    if settings.agent:
        model = AgentModel(plugins.build(plugins.REFLECTION, config), call_timeout_s=config.serving.request_timeout_s)
    elif settings.base_url:
        model = connect_api(config, api_settings(settings, settings.base_url), "reflection")
    else:
        return None
    stack.push_async_callback(model.aclose)
    return model


async def _reflection(model: Generator, config: PromptSearchExperiment, text: str, seed: int) -> str:
    sampling = Sampling(config.reflection.max_tokens, config.reflection.temperature)
    [generation] = await model.generate([Prompt((Message("user", text),))], n=1, sampling=sampling, seed=seed)
    return strip_reasoning(generation.completions[0].text)
