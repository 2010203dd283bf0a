"""Tables over the runs of a recipe: medians with their range, every run, and how many reach the goals.

A run is a seed in an arithmetic: how many threads add up, and which kernels, decides how sums are rounded, and so which
of many trainings a seed is. Runs are recorded one by one, on any machine, and the tables are of all that are recorded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from custom_data.world.texts.students import HELD_OUT_STUDENTS
from scripts.benchmarks.tools.arithmetic import ORIGIN
from scripts.benchmarks.tools.measure import provenance
from trainers.evaluation.reports.results import lengths_by_baseline, read_results
from trainers.evaluation.reports.results_table import ROWS, Row

ALONE, SFT, GRPO = ARMS = ("student alone", "SFT", "GRPO")
HEADINGS = {ALONE: "student alone", SFT: "with the SFT-only teacher", GRPO: "with the GRPO teacher"}
RUNS = "quickstart-runs"
MEDIAN_RIGHT, MEDIAN_WRONG = "median_length_right", "median_length_wrong"


MEASURES = {
    "accuracy": ROWS["accuracy"],
    "accuracy_gain": ROWS["accuracy_gain"],
    "non_degradation_rate": ROWS["non_degradation_rate"],
    "fix_rate": Row("wrong students made right", ".1%"),
    "leak_rate": Row("leak rate", ".2%"),  # the goal is half a percent
    MEDIAN_RIGHT: Row("median tokens of a teaching, student right alone", ".3g"),
    MEDIAN_WRONG: Row("median tokens of a teaching, student wrong alone", ".3g"),
}


@dataclass(frozen=True)
class Run:
    """One run of the recipe.

    Attributes:
        seed: Its seed.
        arithmetic: What decides how sums are rounded, such as "2 threads, AVX2".
        world: Version of the embedded world; runs of different versions are not of one recipe.
        arms: The mean of each measure by arm.
        students: The accuracy of each held-out student by arm.
        oracle: Accuracy that the oracle's help reaches.
        seconds: Wall time of the whole quickstart.
        origin: When, where, from which sources and by which command it came about.
    """

    seed: int
    arithmetic: str
    world: int
    arms: Mapping[str, Mapping[str, float]]
    students: Mapping[str, Mapping[str, float]]
    oracle: float
    seconds: float
    origin: Mapping[str, Any]


@dataclass(frozen=True)
class Goal:
    """Something that every run of the recipe is to reach: at least this much, or at most."""

    label: str
    value: Callable[[Run], float]
    limit: float
    spec: str
    at_most: bool = False

    def reached(self, value: float) -> bool:
        """Return whether a value is good enough."""
        return value <= self.limit if self.at_most else value >= self.limit


GOALS = (
    Goal("accuracy ≥ 80% of the oracle's", lambda run: run.arms[GRPO]["accuracy"] / run.oracle, 0.8, ".1%"),
    Goal("accuracy gain ≥ 30 points", lambda run: 100 * run.arms[GRPO]["accuracy_gain"], 30, "+.1f"),
    Goal("non-degradation ≥ 97%", lambda run: run.arms[GRPO]["non_degradation_rate"], 0.97, ".1%"),
    Goal("leaks ≤ 0.5%", lambda run: run.arms[GRPO]["leak_rate"], 0.005, ".2%", at_most=True),
    Goal(
        "median teaching where the student is right ≤ half of where it is wrong",
        lambda run: run.arms[GRPO][MEDIAN_RIGHT] / run.arms[GRPO][MEDIAN_WRONG],
        0.5,
        ".0%",
        at_most=True,
    ),
)


def read_run(directory: Path) -> Run:
    """Return what a finished quickstart came to; its directory is named by its seed."""
    summary, arms = read_evaluation(directory / "evaluation")
    students = {
        name: {arm["name"]: arm["accuracy"]["mean"] for arm in each["arms"]}
        for name, each in summary.get("by_student", {}).items()
    }
    version, oracle = read_world(directory / "world")
    seconds = float((directory / "seconds").read_text(encoding="utf-8"))
    origin = json.loads((directory / ORIGIN).read_text(encoding="utf-8"))
    arithmetic = origin.pop("arithmetic")
    return Run(int(directory.name), arithmetic, version, arms, students, oracle, seconds, origin)


def read_evaluation(directory: Path) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """Return the summary of an evaluation, and the mean of each measure by arm, medians of lengths among them."""
    summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
    arms = {arm["name"]: _means(arm) for arm in summary["arms"]}
    for name, items in read_results(directory).taught.items():
        right, wrong = lengths_by_baseline(items)
        arms[name] |= {MEDIAN_RIGHT: median(right), MEDIAN_WRONG: median(wrong)}
    return summary, arms


def read_world(directory: Path) -> tuple[int, float]:
    """Return the version of a world, and the accuracy that an oracle reaches with its held-out students."""
    world = json.loads((directory / "world.json").read_text(encoding="utf-8"))
    return world["version"], fmean(world["students"][name]["oracle"] for name in HELD_OUT_STUDENTS)


def _means(arm: Mapping[str, Any]) -> dict[str, float]:
    return {name: arm[name]["mean"] for name in MEASURES if name in arm and arm[name]["mean"] is not None}


def medians(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the table of medians over runs, each with the least and the most of them."""
    rows = [
        [measure.label, *(_spread([run.arms[arm].get(name) for run in runs], measure) for arm in ARMS)]
        for name, measure in MEASURES.items()
    ]
    for name in HELD_OUT_STUDENTS:
        found = [[run.students.get(name, {}).get(arm) for run in runs] for arm in ARMS]
        rows.append([f"accuracy of {name}", *(_spread(values, MEASURES["accuracy"]) for values in found)])
    heading = f"median of {len(runs)} runs (least to most)" if len(runs) > 1 else "one run"
    return {"columns": [heading, *HEADINGS.values()], "rows": rows}


def _spread(values: Sequence[float | None], measure: Row) -> str:
    known = [measure.scale * value for value in values if value is not None]
    if not known:
        return ""
    middle, least, most = (format(value, measure.spec) for value in (median(known), min(known), max(known)))
    return f"{middle} ({least} to {most})" if len(known) > 1 else middle


def by_run(runs: Sequence[Run]) -> dict[str, Any]:
    """Return a row for each run."""
    columns = ["seed", "arithmetic", *(f"accuracy {HEADINGS[arm]}" for arm in ARMS)]
    shown = [name for name in MEASURES if name not in ("accuracy", "accuracy_gain")]
    rows = [
        [
            str(run.seed),
            run.arithmetic,
            *(f"{run.arms[arm]['accuracy']:.1%}" for arm in ARMS),
            *(format(run.arms[GRPO][name], MEASURES[name].spec) for name in shown),
            f"{run.seconds:.0f}",
        ]
        for run in runs
    ]
    return {"columns": [*columns, *(MEASURES[name].label for name in shown), "seconds"], "rows": rows}


def goals(runs: Sequence[Run]) -> dict[str, Any]:
    """Return for each goal how many runs reach it, and the one that is farthest from it; at last, for all together."""
    rows = []
    for goal in GOALS:
        values = [goal.value(run) for run in runs]
        worst = max(values) if goal.at_most else min(values)
        rows.append([goal.label, f"{sum(map(goal.reached, values))} of {len(values)}", format(worst, goal.spec)])
    whole = sum(all(goal.reached(goal.value(run)) for goal in GOALS) for run in runs)
    rows.append(["all of them", f"{whole} of {len(runs)}", ""])
    return {"columns": ["goal", "runs that reach it", "the worst of them"], "rows": rows}


def record(runs: Sequence[Run], directory: Path) -> list[Run]:
    """Add runs to those that are recorded, in place of the same seed in the same arithmetic, and write all tables.

    Returns all of them.

    Recorded runs of another version of the world are dropped: they are not of the same recipe.
    """
    directory.mkdir(parents=True, exist_ok=True)
    found = {(run.seed, run.arithmetic): run for run in [*_recorded(directory), *runs] if run.world == runs[-1].world}
    together = [found[key] for key in sorted(found)]
    each = by_run(together) | {"runs": [asdict(run) for run in together]}
    for name, table in (("quickstart", medians(together)), (RUNS, each), ("quickstart-goals", goals(together))):
        text = json.dumps({"name": name, **provenance(), **table}, indent=2, ensure_ascii=False)
        (directory / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return together


def _recorded(directory: Path) -> list[Run]:
    path = directory / f"{RUNS}.json"
    return [Run(**run) for run in json.loads(path.read_text(encoding="utf-8"))["runs"]] if path.is_file() else []
