"""Tools of the benchmarks: measuring wall and CPU seconds in alternation, a table to read and JSON to keep."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from trainers.paths import ROOT

RESULTS = Path("results/benchmarks")


@dataclass
class Measurement:
    """One measured run: wall seconds, CPU-seconds of this process and of the given others, and generated tokens."""

    seconds: float = 0.0
    client_cpu_s: float = 0.0
    server_cpu_s: float = 0.0
    tokens: int = 0

    @property
    def tokens_per_s(self) -> float:
        """Generated tokens per wall second."""
        return self.tokens / self.seconds


@contextmanager
def measured(server_pids: Sequence[int] = ()) -> Iterator[Measurement]:
    """Measure what happens inside; the body sets `tokens`, and `seconds` where it knows them better."""
    measurement = Measurement()
    cpu, servers, start = time.process_time(), tree_cpu_s(server_pids), time.perf_counter()
    yield measurement
    measurement.seconds = measurement.seconds or time.perf_counter() - start
    measurement.client_cpu_s = measurement.client_cpu_s or time.process_time() - cpu
    measurement.server_cpu_s = tree_cpu_s(server_pids) - servers


def tree_cpu_s(pids: Sequence[int]) -> float:
    """CPU-seconds that processes and their descendants have used so far."""
    roots = [psutil.Process(pid) for pid in pids]
    family = {process for root in roots for process in (root, *root.children(recursive=True))}
    return sum(sum(process.cpu_times()[:2]) for process in family)


def alternate(
    variants: Mapping[str, Callable[[int], Measurement]], repeats: int, warmups: int = 1
) -> dict[str, list[Measurement]]:
    """Run every variant `repeats` times in the order A B A B …, after `warmups` rounds that do not count.

    A variant is told the number of the round, so that all variants of one round can use the same seeds.
    """
    results: dict[str, list[Measurement]] = {name: [] for name in variants}
    for round_number in range(-warmups, repeats):
        for name, run in variants.items():
            measurement = run(round_number)
            if round_number >= 0:
                results[name].append(measurement)
    return results


def median_of(measurements: Sequence[Measurement], value: Callable[[Measurement], float]) -> float:
    """The median of one value over repeated measurements."""
    return median(map(value, measurements))


def paired_ratio(results: Mapping[str, Sequence[Measurement]], value: Callable[[Measurement], float]) -> float:
    """Return the median over rounds of the first variant's value ÷ the second's in the same round.

    A machine that is busy now and idle later disturbs it least.
    """
    ours, theirs = results.values()
    return median(value(a) / value(b) for a, b in zip(ours, theirs, strict=True))


@dataclass
class Report:
    """The outcome of one benchmark: `values` for machines, `rows` for people.

    Args:
        name: file name of the JSON, such as `P1`.
        title: what is measured.
        goal: the number to reach, in words.
    """

    name: str
    title: str
    goal: str
    values: dict[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = ("quantity", "value")
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add_measurements(self, results: Mapping[str, Sequence[Measurement]]) -> None:
        """Medians of every variant as rows, all single measurements into the JSON."""
        self.columns = ("variant", "tok/s", "wall s", "client CPU s", "server CPU s", "tokens")
        for name, measurements in results.items():
            self.rows.append(
                (
                    name,
                    f"{median_of(measurements, lambda m: m.tokens_per_s):,.0f}",
                    f"{median_of(measurements, lambda m: m.seconds):.2f}",
                    f"{median_of(measurements, lambda m: m.client_cpu_s):.2f}",
                    f"{median_of(measurements, lambda m: m.server_cpu_s):.2f}",
                    f"{median_of(measurements, lambda m: m.tokens):,.0f}",
                )
            )
            self.values[name] = [vars(m) | {"tokens_per_s": m.tokens_per_s} for m in measurements]

    def finish(self, result: str, directory: Path = RESULTS) -> None:
        """Show the table with its result and write `DIRECTORY/NAME.json`."""
        table = Table(*self.columns, title=f"{self.name}: {self.title}", caption=f"{result} (goal {self.goal})")
        for row in self.rows:
            table.add_row(*row)
        Console().print(table)
        directory.mkdir(parents=True, exist_ok=True)
        shown = {"columns": self.columns, "rows": self.rows}
        record = {"name": self.name, "goal": self.goal, "result": result, **provenance(), **shown, **self.values}
        (directory / f"{self.name}.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def record_table(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]], directory: Path) -> None:
    """Write a table as `DIRECTORY/NAME.json`, from which the pages have theirs."""
    data = {"name": name, **provenance(), "columns": columns, "rows": rows}
    (directory / f"{name}.json").write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def provenance() -> dict[str, Any]:
    """When, where, from which sources and by which command a number came about."""
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit or None,
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB",
        "load_average": psutil.getloadavg()[0],
        "command": " ".join(sys.orig_argv[1:]),
    }
