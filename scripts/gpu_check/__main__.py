"""`python -m scripts.gpu_check`: run the checks one by one, each with a deadline; print a table and write JSON."""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from scripts.gpu_check.context import Context
from scripts.gpu_check.isolated import run_isolated
from scripts.gpu_check.outcomes import Outcome, all_is_well, report
from trainers.configuration.devices.machine import detect
from trainers.paths import ROOT

LEAST_S = 20.0
"""Seconds below which no check is begun."""


@dataclass(frozen=True)
class Check:
    """One check: its function, its deadline in seconds, the GPUs that it needs, and whether a CPU can do it."""

    name: str
    function: str
    deadline_s: float
    gpus: int = 1
    on_cpu: bool = True
    needed: bool = False


CHECKS = (
    Check("machine", "scripts.gpu_check.checks.machine:look", 90, needed=True),
    Check("models", "scripts.gpu_check.made_models:make_models", 180, needed=True),
    Check("update", "scripts.gpu_check.checks.servers:update", 240),
    Check("grpo", "scripts.gpu_check.checks.trainers:grpo", 300),
    Check("zero3", "scripts.gpu_check.checks.trainers:zero3", 150),
    Check("one_stage", "scripts.gpu_check.checks.speed:one_stage", 180),
    Check("four_stages", "scripts.gpu_check.checks.speed:four_stages", 240),
    Check("overlap", "scripts.gpu_check.checks.speed:overlap", 300),
    Check("lora", "scripts.gpu_check.checks.trainers:lora", 120, on_cpu=False),
    Check("offload", "scripts.gpu_check.checks.trainers:offload", 240, on_cpu=False),
    Check("4bit", "scripts.gpu_check.checks.trainers:four_bit", 120, on_cpu=False),
    Check("zero1", "scripts.gpu_check.checks.trainers:zero1", 120),
    Check("tensor_parallel", "scripts.gpu_check.checks.servers:tensor_parallel", 180, gpus=2, on_cpu=False),
)
"""The checks in the order of their worth: where time is short, the last ones are left out."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks; return 0 when all that were run passed."""
    options = _parser().parse_args(arguments)
    console = Console()
    if options.list:
        for check in CHECKS:
            console.print(f"{check.name}: at most {check.deadline_s:.0f} s")
        return 0
    root = Path(options.output).absolute()
    for name in ("logs", "runs"):
        (root / name).mkdir(parents=True, exist_ok=True)
    gpus = 0 if options.cpu else len(detect().gpus)
    context = Context(str(root), options.size or ("tiny" if options.cpu else "0.6b"))
    chosen = selected(CHECKS, options.only.split(",") if options.only else None)
    chosen = [replace(check, deadline_s=options.patience * check.deadline_s) for check in chosen]
    outcomes = run_all(chosen, context, gpus, 60 * options.minutes, console)
    started = datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds")
    about = {"date": started, "commit": _commit(), "size": context.size, "minutes": options.minutes, "gpus": gpus}
    report(outcomes, about, root / "gpu_check.json", console)
    return 0 if all_is_well(outcomes) else 1


def selected(checks: Sequence[Check], names: Sequence[str] | None) -> list[Check]:
    """Return the checks of these names, with those that all others need.

    Raises:
        SystemExit: for a name that no check has.
    """
    unknown = set(names or ()) - {check.name for check in checks}
    if unknown:
        known = ", ".join(check.name for check in checks)
        sys.exit(f"error: --only {', '.join(sorted(unknown))}: no check of that name\n       the checks are {known}")
    return [check for check in checks if names is None or check.needed or check.name in names]


def run_all(checks: Sequence[Check], context: Context, gpus: int, budget_s: float, console: Console) -> list[Outcome]:
    """Run checks until the time is over; each that fails is gone on from, unless all others need it."""
    start, outcomes = time.monotonic(), list[Outcome]()
    for check in checks:
        left = budget_s - (time.monotonic() - start)
        why = reason_to_leave_out(check, gpus, left, outcomes, checks)
        if why:
            outcomes.append(Outcome(check.name, "left out", reason=why))
            continue
        console.print(f"{check.name} … (at most {min(left, check.deadline_s):.0f} s)")
        found = run_isolated(replace(context, name=check.name), check.function, min(left, check.deadline_s))
        outcomes.append(found)
        console.print(f"    {found.status} after {found.seconds:.0f} s {found.reason}", markup=False)
    return outcomes


def reason_to_leave_out(
    check: Check, gpus: int, left_s: float, before: Sequence[Outcome], checks: Sequence[Check]
) -> str:
    """Return why a check is not to be run; empty where it is."""
    needed = {each.name for each in checks if each.needed}
    broken = [outcome.name for outcome in before if outcome.name in needed and outcome.status != "passed"]
    if broken and not check.needed:
        return f"it needs {', '.join(broken)}"
    if not gpus and not check.on_cpu:
        return "it needs a GPU"
    if gpus and gpus < check.gpus:
        return f"it needs {check.gpus} GPUs"
    return f"{left_s:.0f} s are left: --only {check.name} runs it alone" if left_s < LEAST_S else ""


def _commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/gpu_check.sh", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="time for all checks")
    parser.add_argument("--patience", type=float, default=1.0, help="times the deadline of each check")
    parser.add_argument("--size", choices=("tiny", "0.6b", "8b"), help="shape of the random models")
    parser.add_argument("--only", metavar="A,B", help="only these checks")
    parser.add_argument("--output", default="results/gpu_check", help="directory of everything that is made")
    parser.add_argument("--cpu", action="store_true", help="what can be checked without a GPU")
    parser.add_argument("--list", action="store_true", help="name the checks")
    return parser


if __name__ == "__main__":
    sys.exit(main())
