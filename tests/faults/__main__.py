"""`python -m tests.faults`: do every fault many times, print what became of it, and record that for reliability.md.

    python -m tests.faults --repeats 20 --seed 1 --output docs/benchmarks/data
    python -m tests.faults --real --repeats 5 --seed 1 --output docs/benchmarks/data
    python -m tests.faults -- -k checkpoint

It runs the tests that are marked `fault`: on stand-ins for what is slow, or with `--real` on real servers and trainers.
What follows `--` is for pytest.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts.benchmarks.tools.measure import RESULTS, Report
from tests.support.fault_runs import Tally
from trainers.paths import ROOT

COLUMNS = ("fault", "promise", "repeats", "survived", "lost", "longest to notice")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the faults; return pytest's exit status."""
    options = parsed(sys.argv[1:] if arguments is None else arguments)
    # What is needed and missing is an error then, and no reason to leave a fault out.
    os.environ["CI"] = "true"
    os.environ.setdefault("ATLAS_SOAK_STEPS", "2000")
    tally = Tally()
    status = pytest.main(pytest_arguments(options), plugins=[tally])
    if tally.rows:
        report_of(tally, "reliability-real" if options.real else "reliability").finish(outcome(tally), options.output)
    return int(status)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", action="store_true", help="on real servers and trainers")
    parser.add_argument("--repeats", type=int, help="times each fault is done; 20, or 5 with --real")
    parser.add_argument("--seed", type=int, default=1, help="seed of moments and places")
    parser.add_argument("--output", type=Path, default=RESULTS, help="directory of the record")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    options = parser.parse_args(arguments)
    options.repeats = options.repeats or (5 if options.real else 20)
    return options


def pytest_arguments(options: argparse.Namespace) -> list[str]:
    """Return the command line of pytest."""
    kind = "fault and (slow or servers)" if options.real else "fault and not slow and not servers"
    times = f"--{'real-' if options.real else ''}repeats={options.repeats}"
    return ["-q", "-m", kind, times, f"--fault-seed={options.seed}", *(options.pytest or [str(ROOT / "tests")])]


def outcome(tally: Tally) -> str:
    """Say how many faults were survived."""
    rows = tally.rows.values()
    return f"{sum(row.survived for row in rows)} survived, {sum(row.lost for row in rows)} lost"


def report_of(tally: Tally, name: str) -> Report:
    """Return the table of what was counted."""
    report = Report(name, "faults, and what became of them", "none lost", columns=COLUMNS)
    for (fault, promise), row in tally.rows.items():
        noticed = "" if row.noticed_s is None else f"{row.noticed_s:.1f} s"
        report.rows.append((fault, promise, str(row.survived + row.lost), str(row.survived), str(row.lost), noticed))
    report.values["seconds"] = {fault: round(row.seconds, 1) for (fault, _), row in tally.rows.items()}
    report.values["skipped"] = {fault: row.skipped for (fault, _), row in tally.rows.items() if row.skipped}
    return report


if __name__ == "__main__":
    sys.exit(main())
