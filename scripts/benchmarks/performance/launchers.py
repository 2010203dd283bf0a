"""The launchers of four hosts with eight places each: how soon 32 processes run, and what watching them costs.

    python -m scripts.benchmarks.performance.launchers

One machine plays all hosts. What the launchers start are stand-ins that do nothing, so that what is measured is theirs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import psutil

from scripts.benchmarks.tools.measure import Report
from tests.support.free_ports import consecutive_free_ports
from tests.support.many_hosts import BEGUN, HOSTS, PLACES, many_hosts

GOAL = 0.01
"""Share of a core that each launcher may take while it watches."""


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="of watching")
    arguments = parser.parse_args()
    report = Report("launchers", f"{HOSTS} hosts of {PLACES} places", "≤ 1% of a core while watching")
    report.columns = ("host", "starts", "CPU s until all run", "share of a core while watching")
    with tempfile.TemporaryDirectory(prefix="launchers-") as scratch:
        start_s, before, shares = measure(Path(scratch), arguments.seconds)
    report.rows = rows(before, shares)
    report.values = {"start_s": start_s, "start_cpu_s": before, "watch_shares": shares, "arguments": vars(arguments)}
    report.finish(f"all run after {start_s:.1f} s; at most {max(shares):.2%} of a core, {mean(shares):.2%} on average")


def measure(directory: Path, seconds: float) -> tuple[float, list[float], list[float]]:
    """Return the seconds until all run, and of each launcher the CPU-seconds until then and its share of a core."""
    port = consecutive_free_ports(1 + PLACES)
    run = many_hosts(directory, (port, port + 1))
    began = time.monotonic()
    run.start(*range(HOSTS))
    try:
        for place in range(HOSTS // 2, HOSTS):
            run.wait_for(place, BEGUN)
        start_s = time.monotonic() - began
        launchers = [run.hosts[place].pid for place in range(HOSTS)]
        # What they still have to say of the start.
        time.sleep(2)
        before, since = cpu_s(launchers), time.monotonic()
        time.sleep(seconds)
        shares = shares_of(before, cpu_s(launchers), time.monotonic() - since)
    finally:
        run.kill(*run.hosts)
    return start_s, before, shares


def cpu_s(pids: Sequence[int]) -> list[float]:
    """Return the CPU-seconds that processes have used themselves, without their children's."""
    return [sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids]


def shares_of(before: Sequence[float], after: Sequence[float], seconds: float) -> list[float]:
    """Return the shares of a core that processes took."""
    return [(then - now) / seconds for now, then in zip(before, after, strict=True)]


def rows(before: Sequence[float], shares: Sequence[float]) -> list[tuple[str, ...]]:
    """Return a row for each host."""
    half = HOSTS // 2
    starts = [f"{PLACES} servers"] * half + [f"{PLACES} ranks"] * half
    return [
        (str(place + 1), what, f"{cpu:.2f}", f"{share:.2%}")
        for place, (what, cpu, share) in enumerate(zip(starts, before, shares, strict=True))
    ]


if __name__ == "__main__":
    main()
