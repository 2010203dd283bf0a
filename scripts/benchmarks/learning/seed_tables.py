"""Tables over the seeds of a recipe: medians with their range, every seed, and how many reach the goals."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from custom_data.world.texts.students import HELD_OUT_STUDENTS
from scripts.benchmarks.tools.measure import provenance
from trainers.evaluation.reports.results import lengths_by_baseline, read_results
from trainers.evaluation.reports.results_table import Row

ALONE, SFT, GRPO = ARMS = ("student alone", "SFT", "GRPO")
HEADINGS = {ALONE: "student alone", SFT: "with the SFT-only teacher", GRPO: "with the GRPO teacher"}
MEDIAN_RIGHT, MEDIAN_WRONG = "median_length_right", "median_length_wrong"


MEASURES = {
    "accuracy": Row("accuracy", ".1%"),
    "accuracy_gain": Row("accuracy gain (points)", "+.1f", 100),
    "non_degradation_rate": Row("non-degradation rate", ".1%"),
    "fix_rate": Row("wrong students made right", ".1%"),
    "leak_rate": Row("leak rate", ".2%"),
    MEDIAN_RIGHT: Row("median tokens of a teaching, student right alone", "g"),
    MEDIAN_WRONG: Row("median tokens of a teaching, student wrong alone", "g"),
}


@dataclass(frozen=True)
class Seed:
    """One run of the recipe: what each arm came to, by measure; each held-out student's accuracy; the oracle's."""

    number: int
    arms: Mapping[str, Mapping[str, float]]
    students: Mapping[str, Mapping[str, float]]
    oracle: float
    seconds: float


@dataclass(frozen=True)
class Goal:
    """Something that every run of the recipe is to reach: at least this much, or at most."""

    label: str
    value: Callable[[Seed], float]
    limit: float
    spec: str
    at_most: bool = False

    def reached(self, value: float) -> bool:
        """Return whether a value is good enough."""
        return value <= self.limit if self.at_most else value >= self.limit


GOALS = (
    Goal("accuracy ≥ 80% of the oracle's", lambda seed: seed.arms[GRPO]["accuracy"] / seed.oracle, 0.8, ".1%"),
    Goal("accuracy gain ≥ 30 points", lambda seed: 100 * seed.arms[GRPO]["accuracy_gain"], 30, "+.1f"),
    Goal("non-degradation ≥ 97%", lambda seed: seed.arms[GRPO]["non_degradation_rate"], 0.97, ".1%"),
    Goal("leaks ≤ 0.5%", lambda seed: seed.arms[GRPO]["leak_rate"], 0.005, ".2%", at_most=True),
    Goal(
        "median teaching where the student is right ≤ half of where it is wrong",
        lambda seed: seed.arms[GRPO][MEDIAN_RIGHT] / seed.arms[GRPO][MEDIAN_WRONG],
        0.5,
        ".0%",
        at_most=True,
    ),
)


def read_seed(directory: Path) -> Seed:
    """Return what a finished quickstart came to."""
    evaluation = directory / "evaluation"
    summary = json.loads((evaluation / "summary.json").read_text(encoding="utf-8"))
    arms = {arm["name"]: _means(arm) for arm in summary["arms"]}
    for name, items in read_results(evaluation).taught.items():
        right, wrong = lengths_by_baseline(items)
        arms[name] |= {MEDIAN_RIGHT: median(right), MEDIAN_WRONG: median(wrong)}
    students = {
        name: {arm["name"]: arm["accuracy"]["mean"] for arm in each["arms"]}
        for name, each in summary.get("by_student", {}).items()
    }
    world = json.loads((directory / "world" / "world.json").read_text(encoding="utf-8"))
    oracle = fmean(world["students"][name]["oracle"] for name in HELD_OUT_STUDENTS)
    seconds = float((directory / "seconds").read_text(encoding="utf-8"))
    return Seed(int(directory.name), arms, students, oracle, seconds)


def _means(arm: Mapping[str, Any]) -> dict[str, float]:
    return {name: arm[name]["mean"] for name in MEASURES if name in arm and arm[name]["mean"] is not None}


def medians(seeds: Sequence[Seed]) -> dict[str, Any]:
    """Return the table of medians over seeds, each with the least and the most of them."""
    rows = [
        [measure.label, *(_spread([seed.arms[arm].get(name) for seed in seeds], measure) for arm in ARMS)]
        for name, measure in MEASURES.items()
    ]
    of_students = MEASURES["accuracy"]
    for name in HELD_OUT_STUDENTS:
        found = [[seed.students.get(name, {}).get(arm) for seed in seeds] for arm in ARMS]
        rows.append([f"accuracy of {name}", *(_spread(values, of_students) for values in found)])
    heading = f"median of {len(seeds)} seeds (least to most)" if len(seeds) > 1 else "one seed"
    return {"columns": [heading, *HEADINGS.values()], "rows": rows}


def _spread(values: Sequence[float | None], measure: Row) -> str:
    known = [measure.scale * value for value in values if value is not None]
    if not known:
        return ""
    middle, least, most = (format(value, measure.spec) for value in (median(known), min(known), max(known)))
    return f"{middle} ({least} to {most})" if len(known) > 1 else middle


def by_seed(seeds: Sequence[Seed]) -> dict[str, Any]:
    """Return a row for each seed."""
    columns = ["seed", *(f"accuracy {HEADINGS[arm]}" for arm in ARMS)]
    shown = [name for name in MEASURES if name not in ("accuracy", "accuracy_gain")]
    rows = [
        [
            str(seed.number),
            *(f"{seed.arms[arm]['accuracy']:.1%}" for arm in ARMS),
            *(format(seed.arms[GRPO][name], MEASURES[name].spec) for name in shown),
            f"{seed.seconds:.0f}",
        ]
        for seed in seeds
    ]
    return {"columns": [*columns, *(MEASURES[name].label for name in shown), "seconds"], "rows": rows}


def goals(seeds: Sequence[Seed]) -> dict[str, Any]:
    """Return for each goal how many seeds reach it, and the one that is farthest from it."""
    rows = []
    for goal in GOALS:
        values = [goal.value(seed) for seed in seeds]
        worst = max(values) if goal.at_most else min(values)
        rows.append([goal.label, f"{sum(map(goal.reached, values))} of {len(values)}", format(worst, goal.spec)])
    return {"columns": ["goal", "seeds that reach it", "the worst of them"], "rows": rows}


def record(seeds: Sequence[Seed], directory: Path) -> None:
    """Write the three tables as recorded data, for the pages."""
    tables = {"quickstart": medians(seeds), "quickstart-seeds": by_seed(seeds), "quickstart-goals": goals(seeds)}
    directory.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        text = json.dumps({"name": name, **provenance(), **table}, indent=2, ensure_ascii=False)
        (directory / f"{name}.json").write_text(text + "\n", encoding="utf-8")
