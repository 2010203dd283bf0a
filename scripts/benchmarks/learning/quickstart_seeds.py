"""Runs the quickstart with several seeds and reports what each reached: does the teacher really learn to teach?

    python -m scripts.benchmarks.learning.quickstart_seeds --seeds 0 1 2 3 4 --output results/seeds
    python -m scripts.benchmarks.learning.quickstart_seeds --seeds 0 1 2 3 4 --output results/seeds --report-only
    python -m scripts.benchmarks.learning.quickstart_seeds --seeds 0 1 --output results/avx2 --kernels avx2
    python -m scripts.benchmarks.learning.quickstart_seeds … --report-only --record docs/benchmarks/data

Every seed makes a world, a student, a teacher and an evaluation of its own in `OUTPUT/N`. With another number of
threads, or other kernels of PyTorch's than the processor's best, sums are rounded otherwise, so that the same seed is
another run. What is recorded is added to the runs that are, also those of other machines, and the pages' tables are of
all of them; some are of one run, the median of all, and change only where that one lies. The report is
`OUTPUT/seeds.md`, a table in which each number has its 95% interval over held-out questions, with
`OUTPUT/seeds_accuracy.png` and `OUTPUT/seeds_length.png`, mean and spread over seeds. Finished seeds are not run again.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from scripts.benchmarks.learning.records.run_tables import record_median
from scripts.benchmarks.learning.records.seed_tables import read_run, record
from scripts.benchmarks.tools.arithmetic import Arithmetic, write_origin
from scripts.benchmarks.tools.commands import call, ended_by_signals
from trainers.plotting import several_seeds
from trainers.terminal.log_lines import log_to_standard_error

logger = logging.getLogger("quickstart_seeds")
ACCURACIES = {"student alone": "teaching/baseline_accuracy", "taught": "teaching/taught_accuracy"}
LENGTHS = {
    "student right alone": "teaching/teaching_length_mean/baseline_right",
    "student wrong alone": "teaching/teaching_length_mean/baseline_wrong",
}
COLUMNS = {
    "non-degradation": ("non_degradation_rate", ".1%"),
    "fix rate": ("fix_rate", ".1%"),
    "leak rate": ("leak_rate", ".1%"),
    "length, student right": ("teaching_length_baseline_right", ".1f"),
    "length, student wrong": ("teaching_length_baseline_wrong", ".1f"),
}


@ended_by_signals()
def main() -> None:
    """Runs what is missing, then reports."""
    log_to_standard_error()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--output", type=Path, default=Path("results/seeds"))
    Arithmetic.add_options(parser)
    parser.add_argument("--report-only", action="store_true", help="report the seeds that have finished")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write the tables of README and docs as data, too")
    parser.add_argument("overrides", nargs="*", help="options and overrides for scripts/quickstart.sh")
    arguments = parser.parse_args()
    arithmetic = Arithmetic.chosen(arguments)
    for seed in arguments.seeds:
        if not arguments.report_only and not finished(arguments.output / str(seed)):
            run(seed, arguments.output / str(seed), arithmetic, arguments.overrides)
    done = [seed for seed in arguments.seeds if finished(arguments.output / str(seed))]
    if left_out := sorted({*arguments.seeds} - {*done}):
        logger.warning("left out, not finished: seeds %s", left_out)
    if not done:
        raise SystemExit(f"no seed has finished in {arguments.output}")
    report(done, arguments.output)
    if arguments.record is not None:
        directories = [arguments.output / str(seed) for seed in done]
        recorded = record([read_run(directory) for directory in directories], arguments.record)
        record_median(recorded, directories, arguments.record)


def finished(output: Path) -> bool:
    """Return True when a seed's quickstart has reached its end, where it leaves the file `seconds`."""
    return (output / "seconds").is_file()


def run(seed: int, output: Path, arithmetic: Arithmetic, overrides: Sequence[str]) -> None:
    """One quickstart; its wall time lands in `OUTPUT/N/seconds`, when it is finished."""
    command = ["bash", "scripts/quickstart.sh", "--seed", str(seed), "--output", str(output), *overrides]
    write_origin(output, arithmetic)
    start = time.perf_counter()
    call(command, output / "quickstart.log", arithmetic.environment())
    (output / "seconds").write_text(f"{time.perf_counter() - start:.0f}\n", encoding="utf-8")


def report(seeds: Sequence[int], output: Path) -> None:
    """Writes the table and the curves of all seeds."""
    rows = {seed: arms(output / str(seed)) for seed in seeds}
    table = markdown(rows, {seed: (output / str(seed) / "seconds").read_text().strip() for seed in seeds})
    (output / "seeds.md").write_text(table, encoding="utf-8")
    for name, metrics, unit, heading in (
        ("accuracy", ACCURACIES, "share of correct solutions", "Accuracy during GRPO"),
        ("length", LENGTHS, "tokens inside <teaching>", "Length of the teaching during GRPO"),
    ):
        curves = {label: [curve(output / str(seed), key) for seed in seeds] for label, key in metrics.items()}
        steps = range(1, 1 + max(len(values) for seed_curves in curves.values() for values in seed_curves))
        several_seeds(
            curves,
            output / f"seeds_{name}.png",
            heading=f"{heading}, {len(seeds)} seeds",
            unit=unit,
            steps=steps,
            share=name == "accuracy",
        )
    Console(width=200).print(Markdown(table))
    logger.info("%s, %s", output / "seeds.md", output / "seeds_{accuracy,length}.png")


def arms(directory: Path) -> dict[str, dict[str, Any]]:
    """The evaluation's arms by name."""
    summary = json.loads((directory / "evaluation/summary.json").read_text(encoding="utf-8"))
    return {arm["name"]: arm for arm in summary["arms"]}


def curve(directory: Path, key: str) -> list[float]:
    """One metric over the steps of the GRPO run."""
    lines = (directory / "rl/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    by_step = {row["step"]: row[key] for row in map(json.loads, lines) if key in row}
    return [by_step.get(step, math.nan) for step in range(1, 1 + max(by_step))]


def markdown(rows: dict[int, dict[str, dict[str, Any]]], seconds: dict[int, str]) -> str:
    """One line per seed: the three accuracies, then what the GRPO teacher did."""
    header = ["seed", "student alone", "SFT-only teacher", "GRPO teacher", *COLUMNS, "wall time (s)"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for seed, found in rows.items():
        accuracies = [cell(found[name]["accuracy"], ".1%") for name in ("student alone", "SFT", "GRPO")]
        others = [cell(found["GRPO"][name], spec) for name, spec in COLUMNS.values()]
        lines.append("| " + " | ".join([str(seed), *accuracies, *others, seconds[seed]]) + " |")
    return "\n".join(lines) + "\n"


def cell(estimate: dict[str, Any], spec: str) -> str:
    """A mean with its interval."""
    if estimate["mean"] is None:
        return "n/a"
    return f"{format(estimate['mean'], spec)} [{format(estimate['low'], spec)}, {format(estimate['high'], spec)}]"


if __name__ == "__main__":
    main()
