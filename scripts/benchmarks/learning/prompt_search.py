"""Searches a prompt for the untrained teacher of a world and tests the best: what is training worth over prompting?

    python -m scripts.benchmarks.learning.prompt_search --runs results/ablations --seeds 0 1 2

Every `RUNS/N` holds a world, as `ablations.py` and `quickstart_seeds.py` leave it; nothing is trained. A candidate is a
`teacher_template`: an instruction, behind none to three lessons as they should be, drawn from the warm-up examples with
a right diagnosis. Each is tried with training students on training questions, the best of them (most solutions right)
again on as many others, and the winner with held-out students on held-out questions. What is measured stands in
`RUNS/N/prompt_search.json` and is not measured again; the report is `RUNS/prompt_search.md`. `--record
docs/benchmarks/data` writes the table of the pages.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from custom_data.world.models.rendering import load_templates, prompts_of
from custom_data.world.texts.students import HELD_OUT_STUDENTS, TRAINED_STUDENTS
from scripts.benchmarks.learning.probe_swaps import PROBE, REPLY, SOLUTION, say
from scripts.benchmarks.tools.measure import record_table
from trainers.confidence_intervals import bootstrap_mean
from trainers.evaluation.reports.results_table import ResultsTable
from trainers.generation.models import local_model
from trainers.generation.types import Generator
from trainers.teaching.prompts import read_reply, write_reply
from trainers.teaching.verifiers.extraction import extract_answer
from trainers.terminal.log_lines import log_to_standard_error

logger = logging.getLogger("prompt_search")

INSTRUCTIONS = (
    "Diagnose and teach.",
    "What is your plan?",
    "Solve it.",
    "Teacher:",
    "Teacher: <thinking>",
    "Teacher: <teaching>",
)
"""Words of the world's own prompts, which its tokenizer can read."""
SHOWN = (0, 1, 2, 3)
SETS = 4
"""Sets of lessons drawn for each of the numbers in `SHOWN` above 0."""
FINALISTS = 4
Rows = Sequence[Mapping[str, str]]


def main() -> None:
    """Search where nothing was found before, then report."""
    log_to_standard_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("results/ablations"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--tried", type=int, default=8, help="questions for each training student and candidate")
    parser.add_argument("--questions", type=int, default=54, help="held-out questions for each held-out student")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write the table as data of the pages, too")
    options = parser.parse_args()
    found = {}
    for seed in options.seeds:
        path = options.runs / str(seed) / "prompt_search.json"
        if not path.is_file():
            logger.info("searching in the world of seed %d", seed)
            measured = asyncio.run(search(options.runs / str(seed) / "world", options.tried, options.questions, seed))
            path.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
        found[seed] = json.loads(path.read_text(encoding="utf-8"))
    page = options.runs / "prompt_search.md"
    page.write_text(table(found).markdown(), encoding="utf-8")
    logger.info("%s\n%s", page, page.read_text(encoding="utf-8"))
    if options.record is not None:
        record_table("untrained-prompts", table(found).header, table(found).rows, options.record)


async def search(world: Path, tried: int, questions: int, seed: int) -> dict[str, Any]:
    """Return the best template, its accuracy in the search, and by held-out question which students it made right."""
    student, teacher = local_model(str(world / "student")), local_model(str(world / "teacher_base"))
    rng = random.Random(f"{seed} prompt search")
    train, heldout = (read_rows(world / f"{name}.jsonl") for name in ("train", "heldout"))
    templates = list(candidates(right_lessons(read_rows(world / "sft.jsonl"), train), rng))

    async def accuracy(template: str, rows: Rows) -> float:
        right = await taught(student, teacher, template, list(TRAINED_STUDENTS), rows, seed)
        return fmean(fmean(row) for row in right)

    first = {template: await accuracy(template, rng.sample(train, tried)) for template in templates}
    finalists = sorted(first, key=first.__getitem__, reverse=True)[:FINALISTS]
    again = rng.sample(train, 2 * tried)
    second = {template: await accuracy(template, again) for template in finalists}
    best = max(second, key=second.__getitem__)
    logger.info("best of %d templates, %.1f%% in the second round: %r", len(templates), 100 * second[best], best)
    right = await taught(student, teacher, best, list(HELD_OUT_STUDENTS), heldout[:questions], seed)
    return {"template": best, "tried": len(templates), "in_search": second[best], "right": right}


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def right_lessons(examples: Rows, train: Rows) -> list[str]:
    """Return the warm-up examples that say what their kind of story needs, as prompts with their replies."""
    plans = {opening(row["question"]): row["plan"] for row in train}
    shown = []
    for row in examples:
        needed = plans.get(opening(row["problem_text"]))
        if needed and f"Needed: {needed}." in row["teacher_diagnosis"] and "answer" not in row["teacher_teaching"]:
            reply = write_reply(row["teacher_diagnosis"], row["teacher_teaching"])
            shown.append(f"{row['problem_text']}\nStudent: {row['student_approach']}\nDiagnose and teach.\n{reply}\n")
    return shown


def opening(question: str) -> str:
    """Return what tells the kind of a story: its verb."""
    return question.split()[1]


def candidates(lessons: Sequence[str], rng: random.Random) -> Iterator[str]:
    """Yield every instruction alone, and behind each of some sets of lessons."""
    for count in SHOWN:
        for _ in range(SETS if count else 1):
            shown = "".join(rng.sample(lessons, count))
            yield from (f"{shown}{{question}}\nStudent: {{approach}}\n{words}" for words in INSTRUCTIONS)


async def taught(
    student: Generator, teacher: Generator, template: str, students: Sequence[str], rows: Rows, seed: int
) -> list[list[float]]:
    """Return for every question whether each student was right after the teacher, so prompted, had taught it."""
    texts = [row["question"] for row in rows]
    right: list[list[float]] = [[] for _ in rows]
    for name in students:
        of = prompts_of(name, replace(load_templates(), teacher_template=template))
        approaches = await say(student, [of.probe(text) for text in texts], PROBE, seed)
        asked = [of.teacher(text, approach) for text, approach in zip(texts, approaches, strict=True)]
        replies = await say(teacher, asked, REPLY, seed)
        teachings = [read_reply(reply).teaching or "" for reply in replies]
        prompts = [of.taught(text, teaching) for text, teaching in zip(texts, teachings, strict=True)]
        answers = await say(student, prompts, SOLUTION, seed)
        for each, row, answer, teaching in zip(right, rows, answers, teachings, strict=True):
            each.append(float(teaching != "" and extract_answer(answer) == row["solution"]))
    return right


def table(found: Mapping[int, Mapping[str, Any]]) -> ResultsTable:
    """Return what the best prompt reached on held-out questions, over all seeds and in each."""
    together = bootstrap_mean([row for each in found.values() for row in each["right"]], bounds=(0, 1))
    rows = [("all seeds", together.format(".1%"), "", "")]
    for seed, each in found.items():
        reached = bootstrap_mean(each["right"], bounds=(0, 1)).format(".1%")
        shown = each["template"].count("<teaching>") - each["template"].endswith("<teaching>")
        rows.append((f"seed {seed}, best of {each['tried']}", reached, f"{each['in_search']:.1%}", str(shown)))
    header = ("", "accuracy, held-out students and questions", "in the search", "lessons shown")
    return ResultsTable("", header, tuple(rows))


if __name__ == "__main__":
    main()
