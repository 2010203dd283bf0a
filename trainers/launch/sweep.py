"""`python -m trainers.launch.sweep`: one run for each combination of values, and what they came to, side by side."""

from __future__ import annotations

import argparse
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from trainers.configuration import ConfigurationError, Problem
from trainers.configuration.devices.machine import detect
from trainers.jsonl import whole_rows
from trainers.launch.__main__ import USER_ERROR, composed
from trainers.launch.supervise.interruption import Interrupted, interruptible
from trainers.output.lock import locked
from trainers.plotting import several_seeds

TABLE, PLOT = "sweep.md", "sweep.png"
MEASURES = {
    "reward": "reward",
    "teaching/baseline_accuracy": "alone",
    "teaching/taught_accuracy": "taught",
    "teaching/degradation_rate": "harmed",
    "teaching/teaching_length_mean": "length",
    "train_loss": "loss",
}
"""Metrics of trainings that are compared, with their columns; those that a run lacks are left out."""
PLOTTED = ("teaching/taught_accuracy", "reward", "loss")
"""The first of these that the runs have is drawn."""
SEED = "seed"
LAST_STEPS = 10
"""Steps at the end of a training over which its metrics are averaged: those of a single step are noise."""
FEWEST_POINTS = 2
"""Logged steps that make a curve."""

logger = logging.getLogger("sweep")


@dataclass(frozen=True)
class Run:
    """One run of a sweep: the values that are its own, and where it writes."""

    values: tuple[tuple[str, str], ...]
    output_dir: Path

    @property
    def name(self) -> str:
        """The values as they are typed."""
        return " ".join(f"{key}={value}" for key, value in self.values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sweep; return 0, 2 for a mistake of the user, or the status of the first run that failed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", datefmt="%H:%M:%S")
    options = _parser().parse_intermixed_args(sys.argv[1:] if arguments is None else list(arguments))
    try:
        fixed, swept = divided(options.arguments)
        output = Path(options.output or f"results/sweep_{Path(options.arguments[0]).stem}")
        runs = list(runs_of(swept, output))
        if options.only is not None and options.only >= len(runs):
            expected = f"there are {len(runs)} runs, counted from 0"
            raise ConfigurationError([Problem(f"--only {options.only}", expected, f"give 0 to {len(runs) - 1}")])
        check(runs, fixed, options)
        chosen = runs if options.only is None else [runs[options.only]]
        # One run of a sweep, as the jobs of an array start them, runs beside the others: each locks its own directory.
        with interruptible(), locked(output) if options.only is None else nullcontext():
            status = start(chosen, fixed, options)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return USER_ERROR
    except Interrupted as error:
        return error.status
    compare(runs, output)
    return status


def divided(arguments: Sequence[str]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return the arguments that all runs have, and the keys that differ with their values.

    Raises:
        ConfigurationError: when there is nothing to vary, or not a list of values.
    """
    fixed, swept = [], []
    for argument in arguments:
        values = _values(argument)
        if values is None:
            fixed.append(argument)
        else:
            swept.append((argument.partition("=")[0], values))
    if not swept:
        remedy = "write key=a,b,c; for one run use scripts/launch_with_server.sh"
        raise ConfigurationError([Problem(" ".join(arguments), "expected a key with several values", remedy)])
    return fixed, swept


def _values(argument: str) -> list[str] | None:
    """Return the values of a sweep in Hydra's syntax, `None` for what is none."""
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:
        return None
    if not override.is_sweep_override():
        return None
    if not override.is_discrete_sweep():
        remedy = "list the values: key=a,b,c or key=range(1,4)"
        raise ConfigurationError([Problem(argument, "a range of fractions has no end of values", remedy)])
    return list(override.sweep_string_iterator())


def runs_of(swept: Sequence[tuple[str, Sequence[str]]], output: Path) -> Iterator[Run]:
    """Yield a run for each combination of values, the last key varying fastest, each with a directory of its own."""
    keys = [key for key, _ in swept]
    for combination in product(*(values for _, values in swept)):
        values = tuple(zip(keys, combination, strict=True))
        name = re.sub(r"[^\w.+-]+", "_", "_".join(f"{key}-{value}" for key, value in values))
        yield Run(values, output / name)


def check(runs: Sequence[Run], fixed: Sequence[str], options: argparse.Namespace) -> None:
    """Compose all runs before the first one starts.

    Raises:
        ConfigurationError: with what is wrong with any of them, each problem once.
    """
    machine = detect()
    problems: dict[Problem, None] = {}
    for run in runs:
        try:
            composed(argparse.Namespace(**{**vars(options), "arguments": _arguments(run, fixed)}), machine)
        except ConfigurationError as error:
            problems |= dict.fromkeys(error.problems)
    if problems:
        raise ConfigurationError(problems)


def start(runs: Sequence[Run], fixed: Sequence[str], options: argparse.Namespace) -> int:
    """Launch one run after another; one that fails does not keep the others from running."""
    first = 0
    places = ["--servers", str(options.servers), "--trainers", str(options.trainers)]
    for number, run in enumerate(runs, 1):
        logger.info("run %d of %d: %s", number, len(runs), run.name)
        command = [sys.executable, "-m", "trainers.launch", *places, *_arguments(run, fixed)]
        with subprocess.Popen(command) as process:
            try:
                status = process.wait()
            except Interrupted:
                process.terminate()
                raise
        if status:
            logger.error("%s ended with status %d", run.name, status)
        first = first or status
    return first


def _arguments(run: Run, fixed: Sequence[str]) -> list[str]:
    return [*fixed, *(f"{key}={value}" for key, value in run.values), f"output_dir={run.output_dir}"]


def compare(runs: Sequence[Run], output: Path) -> None:
    """Write the table of what the runs came to, and the curves of those that trained; print the table."""
    found = {run: figures(run.output_dir) for run in runs}
    columns = list(dict.fromkeys(name for row in found.values() for name in row))
    keys = [key for key, _ in runs[0].values]
    lines = [_row([*keys, *columns]), _row(["---"] * (len(keys) + len(columns)))]
    for run, row in found.items():
        numbers = [f"{row[name]:.3g}" if name in row else "n/a" for name in columns]
        lines.append(_row([*(value for _, value in run.values), *numbers]))
    output.mkdir(parents=True, exist_ok=True)
    (output / TABLE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.write("\n".join(["", *lines, "", f"{output / TABLE}", ""]))
    _draw(runs, output / PLOT)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="trainers.launch.sweep", description=__doc__, allow_abbrev=False)
    parser.add_argument("--servers", type=int, required=True, metavar="V", help="GPUs for model servers")
    parser.add_argument("--trainers", type=int, required=True, metavar="T", help="training processes, a GPU each")
    parser.add_argument("--output", metavar="DIR", help="where all runs, table and plot go")
    parser.add_argument("--only", type=int, metavar="I", help="start only the run of this number, from 0")
    parser.add_argument("arguments", nargs="+", metavar="RECIPE | key=a,b,c | key=value")
    return parser


if __name__ == "__main__":
    sys.exit(main())
