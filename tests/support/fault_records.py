"""Records of faults: what one run of `python -m tests.faults` counted, together with what earlier ones did."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from scripts.benchmarks.tools.measure import Report, provenance
from tests.support.fault_runs import Row

COLUMNS = ("fault", "promise", "repeats", "survived", "lost", "longest to notice")
RUNS = "runs"


def run_of(rows: Iterable[Row], seed: int, repeats: int) -> dict[str, Any]:
    """Return what is recorded of one run: when, at which commit, by which command, and all its counts.

    A fault within which it was interrupted was not done.
    """
    done = [asdict(row) for row in rows if row.survived or row.lost or row.skipped]
    return {**provenance(), "seed": seed, "repeats": repeats, "rows": done}


def earlier_runs(record: Path) -> list[dict[str, Any]]:
    """Return the runs of a record; none where there is no record yet.

    Raises:
        ValueError: when it is one that does not tell its runs apart.
    """
    if not record.is_file():
        return []
    found = json.loads(record.read_text(encoding="utf-8"))
    if RUNS not in found:
        raise ValueError(f"{record} holds one table and not the runs that it was made of: leave --add out")
    return list(found[RUNS])


def together(runs: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return the counts of several runs, of each fault and promise in one row."""
    found: dict[tuple[str, str], Row] = {}
    for row in (Row(**entry) for run in runs for entry in run["rows"]):
        before = found.get((row.fault, row.promise))
        found[row.fault, row.promise] = row if before is None else _sum(before, row)
    return list(found.values())


def _sum(one: Row, other: Row) -> Row:
    times = [each.noticed_s for each in (one, other) if each.noticed_s is not None]
    return replace(
        one,
        survived=one.survived + other.survived,
        lost=one.lost + other.lost,
        skipped=one.skipped + other.skipped,
        noticed_s=max(times, default=None),
        seconds=one.seconds + other.seconds,
    )


def report_of(runs: Sequence[Mapping[str, Any]], name: str) -> Report:
    """Return the table of some runs."""
    report = Report(name, "faults, and what became of them", "none lost", columns=COLUMNS)
    for row in together(runs):
        counts = (row.survived + len(row.lost), row.survived, len(row.lost))
        noticed = "" if row.noticed_s is None else f"{row.noticed_s:.1f} s"
        report.rows.append((row.fault, row.promise, *map(str, counts), noticed))
    report.values[RUNS] = list(runs)
    return report


def outcome(rows: Iterable[Row]) -> str:
    """Say how many faults were survived, and name each repeat that was lost."""
    counted = list(rows)
    lost = [repeat for row in counted for repeat in row.lost]
    return "\n".join([f"{sum(row.survived for row in counted)} survived, {len(lost)} lost", *lost])
