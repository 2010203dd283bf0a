"""Measurements of an earlier run in the same output directory: seconds and tokens per step. Pure but for reading."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any

from trainers.configuration.settings.experiments import Experiment
from trainers.configuration.settings.keys import all_keys
from trainers.jsonl import whole_rows
from trainers.terminal.log_lines import DATE

METRICS = "metrics.jsonl"
LATEST = 50
"""Steps that are averaged: the last ones, whose lengths are nearest to those of what comes next."""


@dataclass(frozen=True)
class Measured:
    """Means per optimizer step of a run; `tokens` by kind, `ended` in Unix seconds, `steps` how many were averaged."""

    steps: int
    last_step: int
    ended: float
    step_s: float
    tokens: Mapping[str, float]

    @property
    def tokens_per_step(self) -> float:
        """All tokens of a step."""
        return self.tokens["all"]

    @property
    def tokens_per_hour(self) -> float:
        """All tokens that such steps take in an hour."""
        return self.tokens_per_step * 3600 / self.step_s

    @property
    def when(self) -> str:
        """The time of the last step, in local time."""
        return time.strftime(DATE, time.localtime(self.ended))


def measured(output_dir: Path) -> Measured | None:
    """Read seconds and tokens per step from a directory's metrics; `None` when there are none, or too few to tell."""
    return measure(row for row in whole_rows(output_dir / METRICS) if "step" in row and "time" in row)


def measure(records: Iterable[Mapping[str, Any]]) -> Measured | None:
    """Average the last steps; of several records of one step, as a resumed run leaves them, the last counts."""
    steps = {record["step"]: record for record in records if "loss" in record and record["step"] > 0}
    latest = [steps[step] for step in sorted(steps)][-LATEST:]
    seconds, tokens = step_seconds(latest), step_tokens(latest)
    if seconds is None or not tokens:
        return None
    return Measured(len(latest), latest[-1]["step"], latest[-1]["time"], seconds, tokens)


def step_seconds(records: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the seconds per step: as the trainer measured them, or else between records, without pauses."""
    known = [record["step_time"] for record in records if record.get("step_time")]
    if known:
        return fmean(known)
    gaps = [_difference(before, after, "time") for before, after in pairwise(records)]
    return median(gap for gap in gaps if gap > 0) if any(gap > 0 for gap in gaps) else None


def step_tokens(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the tokens per step under `all`, and by who sampled them; sequences that were trained on count in SFT."""
    sampled = [record for record in records if "generated_tokens" in record]
    if sampled:
        names = {name for record in sampled for name in record if name.startswith("generated_tokens")}
        means = {name: fmean(record.get(name, 0.0) for record in sampled) for name in sorted(names)}
        return {name.partition("/")[2] or "all": mean for name, mean in means.items()}
    counted = [record for record in records if "num_tokens" in record]
    gaps = [_difference(before, after, "num_tokens") for before, after in pairwise(counted)]
    positive = [gap for gap in gaps if gap > 0]
    return {"all": fmean(positive)} if positive else {}


def changes(before: Mapping[str, Any] | None, config: Experiment) -> list[str]:
    """Return the keys that make this plan faster or slower than the run that was measured, as `key: old → new`.

    Args:
        before: the flat keys of that run; `None` where they are not known.
        config: of this plan.
    """
    if before is None:
        return []
    now, named = config.flat(), [name for name, key in all_keys().items() if key.facts.speed]
    return [f"{name}: {before.get(name)} → {now.get(name)}" for name in named if before.get(name) != now.get(name)]


def _difference(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> float:
    return (after[name] - before[name]) / (after["step"] - before["step"])
