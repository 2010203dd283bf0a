"""Tables of one run of the quickstart: its evaluation, each student, and what its world allows."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from custom_data.world.__main__ import CEILINGS
from custom_data.world.models.measurement import FIGURES
from custom_data.world.texts.students import HELD_OUT_STUDENTS
from scripts.benchmarks.learning.records.seed_tables import ALONE, GRPO, Run, read_run
from scripts.benchmarks.tools.measure import provenance
from scripts.benchmarks.tools.recorded_tables import PROVENANCE
from trainers.confidence_intervals import Estimate
from trainers.evaluation.reports.results_table import ROWS, cell

logger = logging.getLogger("quickstart_seeds")


def median_run(runs: Sequence[Run]) -> Run:
    """Return the run whose GRPO teacher is in the middle by accuracy, of an even number the lower."""
    return sorted(runs, key=lambda run: run.arms[GRPO]["accuracy"])[(len(runs) - 1) // 2]


def record_median(runs: Sequence[Run], directories: Sequence[Path], data: Path) -> None:
    """Write the tables of one run, the median of all that are recorded, where it is in one of the directories.

    Where it was made elsewhere the tables stay as they are, and a warning says whose they should be.
    """
    median = median_run(runs)
    found = [directory for directory in directories if read_run(directory) == median]
    if found:
        record_run(found[0], data)
    else:
        where = f"seed {median.seed}, {median.arithmetic}"
        logger.warning("the median of %d runs is that of %s, which is not here: its tables stay", len(runs), where)


def record_run(directory: Path, data: Path) -> None:
    """Write the tables of one run as recorded data, for the pages."""
    run = read_run(directory)
    summary = json.loads((directory / "evaluation" / "summary.json").read_text(encoding="utf-8"))
    world = json.loads((directory / "world" / "world.json").read_text(encoding="utf-8"))
    tables = {
        "run-evaluation": {"arms": summary["arms"]},
        "run-claims": of_claims({arm["name"]: arm for arm in summary["arms"]}),
        "run-students": of_students(summary["by_student"]),
        "run-world": of_world(world["students"]),
        "run-ceilings": of_ceilings(world["ceilings"]),
    }
    for name, table in tables.items():
        text = json.dumps({"name": name, **_origin(run), "seed": run.seed, **table}, indent=2, ensure_ascii=False)
        (data / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _origin(run: Run) -> dict[str, Any]:
    return provenance() | {name: run.origin[name] for name in PROVENANCE}


def of_claims(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the reference claims of itself, beside this run's figures for the same measures."""

    def measured(name: str) -> str:
        return cell(Estimate(**arms[GRPO][name]), ROWS[name])

    def alone(name: str) -> str:
        return format(arms[ALONE][name]["mean"], ROWS[name].spec)

    rows = [
        ["accuracy gain on average (points)", "+15.7", measured("accuracy_gain")],
        ["accuracy gain at most (points)", "+29.6", f"{measured('maximum_improvement')}, best of nine kinds of story"],
        ["completion rate", "~69% → ~100%", f"{alone('completion_rate')} → {measured('completion_rate')}"],
        [
            "tokens of a solution",
            "~4k → ~2k",
            f"{alone('solution_tokens')} → {measured('solution_tokens')}: a taught student repeats what it was told",
        ],
        [
            "generation time",
            "1:21 → 1:10",
            f"{alone('generation_time')} s → {measured('generation_time')} s, probe and teacher included",
        ],
        ["non-degradation rate", "97%", measured("non_degradation_rate")],
    ]
    return {"columns": ["", "claimed by the reference", "measured here, embedded world"], "rows": rows}


def of_students(by_student: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the accuracy with each teacher, a column for each student."""
    arms = [arm["name"] for arm in next(iter(by_student.values()))["arms"]]
    found = {name: {arm["name"]: arm["accuracy"] for arm in each["arms"]} for name, each in by_student.items()}
    rows = [[arm, *(cell(Estimate(**found[name][arm]), ROWS["accuracy"]) for name in by_student)] for arm in arms]
    return {"columns": ["", *by_student], "rows": rows}


def of_world(students: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return what was measured of each student before any training."""
    rows = [
        [f"{name} (held out)" if name in HELD_OUT_STUDENTS else name, *(f"{figures[each]:.0%}" for each in FIGURES)]
        for name, figures in students.items()
    ]
    return {"columns": ["student", *(name.replace("_", " ") for name in FIGURES)], "rows": rows}


def of_ceilings(pools: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return what a teacher can reach under the students' rule."""
    rows = [
        [label, *(f"{pools[pool][name]:{'.2f' if name.endswith('bits') else '.1%'}}" for pool in pools)]
        for name, label in CEILINGS.items()
    ]
    return {"columns": ["", *(pool.replace("heldout_", "held-out ") for pool in pools)], "rows": rows}
