"""The ends of checks, shown as a table and kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

Status = Literal["passed", "failed", "timed out", "left out"]


@dataclass(frozen=True)
class Outcome:
    """The end of one check: its figures by name, as far as it came, and why it did not come further."""

    name: str
    status: Status
    seconds: float = 0.0
    figures: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


def all_is_well(outcomes: Sequence[Outcome]) -> bool:
    """Return whether every check that was run passed, and any was."""
    run = [outcome for outcome in outcomes if outcome.status != "left out"]
    return bool(run) and all(outcome.status == "passed" for outcome in run)


def table(outcomes: Sequence[Outcome]) -> Table:
    """Lay out the checks with their figures."""
    shown = Table(title="gpu_check", title_justify="left")
    for column in ("check", "status", "s", "found"):
        shown.add_column(column, overflow="fold")
    for outcome in outcomes:
        found = ", ".join(f"{name} {_short(value)}" for name, value in outcome.figures.items())
        words = "\n".join(filter(None, [found, outcome.reason]))
        shown.add_row(outcome.name, outcome.status, f"{outcome.seconds:.0f}", words)
    return shown


def report(outcomes: Sequence[Outcome], about: Mapping[str, Any], path: Path, console: Console) -> None:
    """Print the table, and keep everything as JSON."""
    console.print(table(outcomes))
    kept = {**about, "checks": [asdict(outcome) for outcome in outcomes]}
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    console.print(f"kept in {path}")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
