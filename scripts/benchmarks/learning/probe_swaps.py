"""Does a trained teacher look at its student? Asks it again with other probes than the student's own.

    python -m scripts.benchmarks.learning.probe_swaps --runs results/ablations --seeds 0 1 2
    python -m scripts.benchmarks.learning.probe_swaps --runs results/ablations --teacher ablation_one_student

Every `RUNS/N` holds a world and a teacher, as `ablations.py` and `quickstart_seeds.py` leave them; nothing is trained.
On held-out questions each held-out student is taught four times: after its own probe, after that of another held-out
student, after none, and after the belief that the world gave it (the oracle's). What is measured stands in
`RUNS/N/probe_swaps_TEACHER.json` and is not measured again; the report is `RUNS/probe_swaps_TEACHER.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from custom_data.world.models.rendering import load_templates, prompts_of
from custom_data.world.texts.behaviour import approach
from custom_data.world.texts.students import HELD_OUT_STUDENTS
from scripts.benchmarks.tools.measure import record_table
from trainers.confidence_intervals import bootstrap_mean
from trainers.evaluation.reports.results_table import ResultsTable
from trainers.generation.models import local_model
from trainers.generation.types import Generator, Prompt, Sampling
from trainers.teaching.prompts import EMPTY_APPROACH, read_reply
from trainers.teaching.verifiers.extraction import extract_answer
from trainers.terminal.log_lines import log_to_standard_error

logger = logging.getLogger("probe_swaps")
PROBE, SOLUTION, REPLY = Sampling(16, 0.7), Sampling(32, 0.7), Sampling(80, 1.0)
"""The sampling of the quickstart."""

ARMS = {
    "alone": "no teacher",
    "own": "the student's own probe",
    "shuffled": "the probe of another student on the same question",
    "blank": "no probe",
    "oracle": "the belief that the world gave the student",
}


def main() -> None:
    """Measure what is missing, then report."""
    log_to_standard_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("results/ablations"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--teacher", default="rl", metavar="NAME", help="directory of the teacher in each run")
    parser.add_argument("--questions", type=int, default=108, help="held-out questions for each student")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write the table as data of the pages, too")
    options = parser.parse_args()
    found = {}
    for seed in options.seeds:
        path = options.runs / str(seed) / f"probe_swaps_{options.teacher}.json"
        if not path.is_file():
            logger.info("measuring seed %d", seed)
            measured = asyncio.run(measure(options.runs / str(seed), options.teacher, options.questions, seed))
            path.write_text(json.dumps(measured) + "\n", encoding="utf-8")
        found[seed] = json.loads(path.read_text(encoding="utf-8"))
    page = options.runs / f"probe_swaps_{options.teacher}.md"
    page.write_text(table(found).markdown(), encoding="utf-8")
    logger.info("%s\n%s", page, page.read_text(encoding="utf-8"))
    if options.record is not None:
        record_table("probe-swaps", table(found).header, table(found).rows, options.record)


async def measure(run: Path, teacher_name: str, count: int, seed: int) -> dict[str, list[list[float]]]:
    """Return by arm, for every question, whether each held-out student was right."""
    world = run / "world"
    beliefs = json.loads((world / "world.json").read_text(encoding="utf-8"))["beliefs"]
    rows = [json.loads(line) for line in (world / "heldout.jsonl").read_text(encoding="utf-8").splitlines()][:count]
    student, teacher = local_model(str(world / "student")), local_model(str(run / teacher_name))
    texts = [row["question"] for row in rows]
    students = {name: prompts_of(name, load_templates()) for name in HELD_OUT_STUDENTS}
    own = {name: await say(student, [of.probe(text) for text in texts], PROBE, seed) for name, of in students.items()}
    rng = random.Random(f"{seed} shuffled")
    right: dict[str, list[list[float]]] = {arm: [[] for _ in rows] for arm in ARMS}
    for name, of in students.items():
        others = [[own[other][i] for other in students if other != name] for i in range(len(rows))]
        shown = {
            "own": own[name],
            "shuffled": [rng.choice(probes) for probes in others],
            "blank": [EMPTY_APPROACH] * len(rows),
            "oracle": [approach(beliefs[name][row["kind"]]) for row in rows],
        }
        solutions = {"alone": await say(student, [of.baseline(text) for text in texts], SOLUTION, seed)}
        for arm, approaches in shown.items():
            asked = [of.teacher(text, told) for text, told in zip(texts, approaches, strict=True)]
            prompts = [Prompt(prompt.messages[-1:]) for prompt in asked]
            teachings = [read_reply(reply).teaching or "" for reply in await say(teacher, prompts, REPLY, seed)]
            taught = [of.taught(text, teaching) for text, teaching in zip(texts, teachings, strict=True)]
            solutions[arm] = await say(student, taught, SOLUTION, seed)
        for arm, answers in solutions.items():
            for i, (row, answer) in enumerate(zip(rows, answers, strict=True)):
                right[arm][i].append(float(extract_answer(answer) == row["solution"]))
    return right


async def say(model: Generator, prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> list[str]:
    """Return one reply to each prompt, each by a seed of its own: one for all would draw all of them alike."""
    asked = (
        model.generate([prompt], n=1, sampling=sampling, seed=seed * len(prompts) + i)
        for i, prompt in enumerate(prompts)
    )
    return [generation.completions[0].text for [generation] in await asyncio.gather(*asked)]


def table(found: Mapping[int, Mapping[str, Any]]) -> ResultsTable:
    """Return the accuracy of every kind of probe, over all seeds with its interval over questions, and by seed."""
    rows = []
    for arm, meaning in ARMS.items():
        together = bootstrap_mean([question for each in found.values() for question in each[arm]], bounds=(0, 1))
        by_seed = [f"{fmean(map(fmean, each[arm])):.1%}" for each in found.values()]
        rows.append((meaning, together.format(".1%"), *by_seed))
    return ResultsTable("", ("probe", "accuracy", *(f"seed {seed}" for seed in found)), tuple(rows))


if __name__ == "__main__":
    main()
