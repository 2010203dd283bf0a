"""The results of the runs of a sweep, side by side: a table and a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainers.jsonl import whole_rows
from trainers.launch.sweep.outcomes import RunOutcome, outcome_of
from trainers.launch.sweep.values import Run
from trainers.output.files import write_whole
from trainers.plotting import several_seeds
from trainers.terminal.tables import console_for_tables, tables_within

TABLE, PLOT = "sweep.md", "sweep.png"
MEASURES = {
    "reward": "reward",
    "teaching/baseline_accuracy": "alone",
    "teaching/taught_accuracy": "taught",
    "teaching/degradation_rate": "harmed",
    "teaching/teaching_length_mean": "length",
    "loss": "loss",
}
"""Metrics of trainings that are compared, with their columns; those that a run lacks are left out."""
PLOTTED = ("teaching/taught_accuracy", "reward", "loss")
"""The first of these that the runs have is drawn."""
SEED = "seed"
LAST_STEPS = 10
"""Steps at the end of a training over which its metrics are averaged: those of a single step are noise."""
FEWEST_POINTS = 2
"""Logged steps that make a curve."""


def compare(runs: Sequence[Run], output: Path) -> None:
    """Write the table of what the runs came to, and the curves of those that trained; show the table.

    Under it stands of each run that did not finish why, and where its log is.
    """
    found = {run: figures(run.output_dir) for run in runs}
    outcomes = {run: outcome_of(run) for run in runs}
    columns = list(dict.fromkeys(name for row in found.values() for name in row))
    header = [*(key for key, _ in runs[0].values), *columns, "state"]
    rows = [[*_cells(run, found[run], columns), outcomes[run].state] for run in runs]
    unfinished = [f"{run.name} {_told(outcome)}" for run, outcome in outcomes.items() if outcome.detail]
    lines = [_row(header), _row(["---"] * len(header)), *map(_row, rows)]
    listed = ["", *(f"- {line}" for line in unfinished)] if unfinished else []
    output.mkdir(parents=True, exist_ok=True)
    # The tasks of an array may end at the same time.
    write_whole(output / TABLE, "\n".join([*lines, *listed, ""]))
    _show(header, rows, unfinished, output / TABLE)
    _draw(runs, output / PLOT)


def _cells(run: Run, row: Mapping[str, float], columns: Sequence[str]) -> list[str]:
    return [*(value for _, value in run.values), *(f"{row[name]:.3g}" if name in row else "n/a" for name in columns)]


def _told(outcome: RunOutcome) -> str:
    return f"{outcome.state}: {outcome.detail}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _show(header: Sequence[str], rows: Sequence[Sequence[str]], unfinished: Sequence[str], path: Path) -> None:
    console = console_for_tables()
    console.print()
    for table in tables_within(console.width, "", header, rows):
        console.print(table, "", sep="\n")
    for line in unfinished:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    console.print(str(path), soft_wrap=True)


def figures(output_dir: Path) -> dict[str, float]:
    """Return what a run came to: an evaluation's accuracies, or a training's metrics over its last steps."""
    summary = output_dir / "summary.json"
    if summary.is_file():
        arms = json.loads(summary.read_text(encoding="utf-8"))["arms"]
        return {f"accuracy {arm['name']}": arm["accuracy"]["mean"] for arm in arms}
    steps = _steps(output_dir)
    found = {name: [step[key] for step in steps if key in step][-LAST_STEPS:] for key, name in MEASURES.items()}
    return {name: sum(values) / len(values) for name, values in found.items() if values}


def _steps(output_dir: Path) -> list[Mapping[str, float]]:
    """Return the logged steps of a training in order; of several records of a step, the last counts."""
    by_step: dict[int, dict[str, float]] = {}
    for record in whole_rows(output_dir / "metrics.jsonl"):
        by_step[record["step"]] = {**by_step.get(record["step"], {}), **record}
    return [by_step[step] for step in sorted(by_step)]


def _draw(runs: Sequence[Run], path: Path) -> None:
    """Draw a metric over the steps: a curve for each combination, over all seeds where they were varied."""
    steps = {run: _steps(run.output_dir) for run in runs}
    metric = next((key for key in PLOTTED if any(key in step for run in steps.values() for step in run)), None)
    if metric is None:
        return
    arms: dict[str, list[list[float]]] = {}
    for run, logged in steps.items():
        name = " ".join(f"{key}={value}" for key, value in run.values if key != SEED) or "all seeds"
        curve = [step[metric] for step in logged if metric in step]
        if curve:
            arms.setdefault(name, []).append(curve)
    logged_at = max(([int(step["step"]) for step in run if metric in step] for run in steps.values()), key=len)
    if len(logged_at) < FEWEST_POINTS:
        return
    share = metric.endswith(("accuracy", "rate"))
    several_seeds(
        arms, path, heading=metric.rpartition("/")[2].replace("_", " "), unit=metric, share=share, steps=logged_at
    )
