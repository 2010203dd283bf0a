"""`python -m tests.faults`: do every fault many times, print what became of it, and record that for reliability.md.

    python -m tests.faults --repeats 20 --seed 1 --output docs/benchmarks/data
    python -m tests.faults --real --repeats 5 --seed 1 --output docs/benchmarks/data
    python -m tests.faults --slurm --repeats 5 --seed 1 --output docs/benchmarks/data
    python -m tests.faults --repeats 5 --seed 2 --output docs/benchmarks/data --add
    python -m tests.faults -- -k checkpoint

It runs the tests that are marked `fault`: on stand-ins for what is slow, with `--real` on real servers and trainers, or
with `--slurm` on those as jobs of a real Slurm, which is installed, as root, where it is missing.
With `--add` what is counted joins the record that is there, which keeps date, commit and counts of each run; a run that
is interrupted is recorded as far as it came. Another seed draws other moments. What follows `--` is for pytest.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.benchmarks.tools.measure import RESULTS
from tests.support.fault_records import earlier_runs, outcome, report_of, run_of, together
from tests.support.fault_runs import Tally
from trainers.paths import ROOT


@dataclass(frozen=True)
class Kind:
    """Tests that are done together: their marks, their record, and how often each is done."""

    marks: str
    record: str
    option: str
    repeats: int


KINDS = {
    "stand-ins": Kind("fault and not slow and not servers", "reliability", "--repeats", 20),
    "real": Kind("fault and (slow or servers) and not slurm", "reliability-real", "--real-repeats", 5),
    "slurm": Kind("fault and slurm", "reliability-slurm", "--real-repeats", 5),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the faults; return pytest's exit status."""
    options = parsed(sys.argv[1:] if arguments is None else arguments)
    # What is needed and missing is an error then, and no reason to leave a fault out.
    os.environ["CI"] = "true"
    os.environ.setdefault("ATLAS_SOAK_STEPS", "2000")
    name = KINDS[options.kind].record
    runs = earlier_runs(options.output / f"{name}.json") if options.add else []
    tally = Tally()
    status = pytest.main(pytest_arguments(options), plugins=[tally])
    if tally.rows:
        runs.append(run_of(tally.rows.values(), options.seed, options.repeats))
        report_of(runs, name).finish(outcome(together(runs)), options.output)
    return int(status)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(kind="stand-ins")
    kinds = parser.add_mutually_exclusive_group()
    for kind, where in (("real", "on real servers and trainers"), ("slurm", "on those as jobs of a real Slurm")):
        kinds.add_argument(f"--{kind}", dest="kind", action="store_const", const=kind, help=where)
    parser.add_argument("--repeats", type=int, help="times each fault is done; 20, or 5 with --real or --slurm")
    parser.add_argument("--seed", type=int, default=1, help="seed of moments and places")
    parser.add_argument("--output", type=Path, default=RESULTS, help="directory of the record")
    parser.add_argument("--add", action="store_true", help="add to the record that is there, instead of a new one")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    options = parser.parse_args(arguments)
    options.repeats = options.repeats or KINDS[options.kind].repeats
    return options


def pytest_arguments(options: argparse.Namespace) -> list[str]:
    """Return the command line of pytest."""
    kind = KINDS[options.kind]
    times = f"{kind.option}={options.repeats}"
    return ["-q", "-m", kind.marks, times, f"--fault-seed={options.seed}", *(options.pytest or [str(ROOT / "tests")])]


if __name__ == "__main__":
    sys.exit(main())
