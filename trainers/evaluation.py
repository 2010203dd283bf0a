"""Evaluation: the student alone and with each teacher, on the same questions, baselines and approaches."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from tqdm import tqdm
from transformers import AutoTokenizer

from custom_data.preflight import load_questions
from trainers.assembly import build_protocol, connect_pool, layout_of, token_counter
from trainers.plots import accuracy_bars, length_by_baseline
from trainers.records import append_jsonl, lesson_record
from trainers.serving.specs import ServerSpec
from trainers.summary import Arm, markdown, student_alone, taught, teaching_length
from trainers.teaching.lesson import Group, Prepared, Question
from trainers.teaching.protocol import Protocol, Teacher

logger = logging.getLogger(__name__)
T = TypeVar("T")

EVALUATION_STEP = 0
"""Requests of an evaluation derive their seeds from this step, so that the same seed gives the same lessons."""


def run(config: Mapping[str, Any]) -> None:
    """Evaluate as configured; write `summary.json`, `summary.md`, `lessons.jsonl` and plots to `output_dir`."""
    asyncio.run(evaluate(config))


async def evaluate(config: Mapping[str, Any]) -> list[Arm]:
    """Run all arms against the servers of the configuration; returns one `Arm` per row of the results."""
    output = Path(config["output_dir"])
    questions = load_questions(config)[1][: config["eval_max_samples"]]
    student_pool = connect_pool(config, layout_of(config, "student"))
    protocol = build_protocol(config, student_pool)
    arms, groups_of = [], {}
    lessons_path = output / "lessons.jsonl"
    lessons_path.unlink(missing_ok=True)
    try:
        start = time.perf_counter()
        prepared = await prepare(protocol, questions, config["num_baselines"])
        arms.append(student_alone(prepared, time.perf_counter() - start))
        for name, specs in teacher_servers(config).items():
            start = time.perf_counter()
            groups = await teach(config, protocol, name, specs, prepared)
            arms.append(taught(name, groups, time.perf_counter() - start))
            groups_of[name] = groups
            append_jsonl(
                lessons_path,
                [{"teacher": name, **lesson_record(lesson)} for group in groups for lesson in group.lessons],
            )
    finally:
        await student_pool.aclose()
        protocol.verifier.close()
    write_results(config, arms, groups_of)
    return arms


async def prepare(protocol: Protocol, questions: Sequence[Question], num_baselines: int) -> list[Prepared]:
    """Baselines and approaches of all questions, shared by every teacher."""

    async def one(question: Question) -> Prepared:
        return await protocol.prepare(question, step=EVALUATION_STEP, num_baselines=num_baselines)

    return await _with_progress(one, questions, "student alone")


async def teach(
    config: Mapping[str, Any], protocol: Protocol, name: str, specs: Sequence[ServerSpec], prepared: Sequence[Prepared]
) -> list[Group]:
    """The lessons of one teacher on prepared questions."""
    tokenizer = AutoTokenizer.from_pretrained(specs[0].model, trust_remote_code=specs[0].trust_remote_code)
    pool = connect_pool(config, specs)
    teacher = Teacher(pool, token_counter(tokenizer))

    async def one(item: Prepared) -> Group:
        return await protocol.teach(item, teacher, step=EVALUATION_STEP, num_generations=config["num_rollouts"])

    try:
        return await _with_progress(one, prepared, name)
    finally:
        await pool.aclose()


def teacher_servers(config: Mapping[str, Any]) -> dict[str, list[ServerSpec]]:
    """Each teacher's name with the servers that hold its model."""
    specs = layout_of(config, "teacher")
    models = list(dict.fromkeys(spec.model for spec in specs))
    names = config["teacher_names"] or models
    return {name: [spec for spec in specs if spec.model == model] for name, model in zip(names, models, strict=True)}


def write_results(config: Mapping[str, Any], arms: Sequence[Arm], groups_of: Mapping[str, Sequence[Group]]) -> None:
    """Write the summary, its table and its plots, and show the table."""
    output = Path(config["output_dir"])
    output.mkdir(parents=True, exist_ok=True)
    header = f"# Evaluation on {config['dataset_id_or_path']}"
    table = markdown(arms, header)
    (output / "summary.md").write_text(table, encoding="utf-8")
    summary = {
        "dataset": config["dataset_id_or_path"],
        "student": config["student_model"],
        "seed": config["seed"],
        "num_rollouts": config["num_rollouts"],
        "num_baselines": config["num_baselines"],
        "arms": [arm.as_dict() for arm in arms],
    }
    (output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    accuracy_bars({arm.name: arm.estimates["accuracy"] for arm in arms}, output / "accuracy.png")
    if groups_of:
        length_by_baseline(
            {name: lengths_by_baseline(groups) for name, groups in groups_of.items()}, output / "teaching_length.png"
        )
    Console(soft_wrap=True).print(f"\n{table}", markup=False, highlight=False)
    logger.info("results: %s", output / "summary.md")


def lengths_by_baseline(groups: Sequence[Group]) -> tuple[list[float], list[float]]:
    """Teaching lengths in tokens where the student's first baseline was right, and where it was wrong."""
    lengths: dict[bool, list[float]] = {True: [], False: []}
    for group in groups:
        for lesson in group.lessons:
            length = teaching_length(lesson)
            if length is not None and group.prepared.baselines:
                lengths[bool(group.prepared.baselines[0].correct)].append(length)
    return lengths[True], lengths[False]


async def _with_progress(one: Callable[[Any], Awaitable[T]], items: Sequence[Any], title: str) -> list[T]:
    with tqdm(total=len(items), desc=title, unit="question") as bar:

        async def counted(item: Any) -> T:
            result = await one(item)
            bar.update()
            return result

        return list(await asyncio.gather(*map(counted, items)))
