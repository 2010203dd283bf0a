"""The results of an evaluation: one arm for the student alone, one for each teacher, every number with its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trainers.confidence_intervals import Estimate
from trainers.configuration.devices.placement import STUDENT_ALONE
from trainers.evaluation.measures.breakdowns import gain_measures, known_gains, largest
from trainers.evaluation.measures.quantities import (
    Measure,
    Prices,
    alone_measures,
    compared,
    over_students,
    taught_measures,
)
from trainers.evaluation.measures.solved_questions import Alone, Taught

QUANTILES = {"p10": 0.1, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9}
ROUNDED_TO = 9


@dataclass(frozen=True)
class Arm:
    """One column of the results: the student alone, or with one teacher.

    `counts` are plain numbers of questions, lessons (or baselines), unscorable and truncated ones. `failures` says why
    lessons could not be had or judged. `gains` are accuracy gains by breakdown (`baseline`, `teaching_length`, `level`)
    and part. `levels` names the level that `maximum_improvement` was found at.
    """

    name: str
    estimates: Mapping[str, Estimate]
    counts: Mapping[str, int]
    failures: Mapping[str, int] = field(default_factory=dict)
    gains: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    question_gains: Mapping[str, float] = field(default_factory=dict)
    best_level: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form; unknown estimates are null."""
        return {
            "name": self.name,
            **{name: estimate.as_dict() for name, estimate in self.estimates.items()},
            "counts": dict(self.counts),
            "failures": dict(self.failures),
            "gains": {
                by: {part: estimate.as_dict() for part, estimate in parts.items()} for by, parts in self.gains.items()
            },
            "question_gains": dict(self.question_gains),
            "best_level": self.best_level,
        }


@dataclass(frozen=True)
class MeasuredArm:
    """The parts of an arm: measures question by question, counts, and the gain of every scored question."""

    measures: Mapping[str, Measure]
    counts: Mapping[str, int]
    failures: Mapping[str, int]
    gains: Mapping[str, Mapping[str, Measure]] = field(default_factory=dict)
    question_gains: tuple[float, ...] = ()

    def arm(self, name: str) -> Arm:
        """Return the arm of that name, with the intervals of its numbers."""
        estimates = {measure: found.estimate() for measure, found in self.measures.items()}
        gains = known_gains(self.gains)
        best_level = largest(gains.get("level", {}))
        if best_level is not None:
            estimates["maximum_improvement"] = gains["level"][best_level]
        spread = distribution(self.question_gains)
        return Arm(name, estimates, self.counts, self.failures, gains, spread, best_level)


def student_alone(alone: Sequence[Alone], prices: Prices | None = None) -> Arm:
    """Return the student without a teacher, from its baselines."""
    return measured_alone(alone, prices).arm(STUDENT_ALONE)


def measured_alone(alone: Sequence[Alone], prices: Prices | None = None) -> MeasuredArm:
    """Measure the student without a teacher, from its baselines."""
    solutions = [solution for item in alone for solution in item.prepared.baselines]
    return MeasuredArm(
        alone_measures(alone, prices),
        {
            "questions": len(alone),
            "n": sum(solution.correct is not None for solution in solutions),
            "unscorable": sum(solution.correct is None for solution in solutions),
            "truncated_solutions": sum(solution.truncated for solution in solutions),
            "failed_questions": sum(not item.prepared.baselines for item in alone),
        },
        dict(Counter(item.prepared.failure for item in alone if item.prepared.failure)),
    )


def taught_arm(
    name: str,
    alone: Sequence[Alone],
    taught: Sequence[Taught],
    prices: Prices | None = None,
    level_column: str | None = None,
    teacher_prices: Prices | None = None,
) -> Arm:
    """Return the student with one teacher; `alone` and `taught` have the same questions in the same order."""
    return measured_taught(alone, taught, prices, level_column, teacher_prices).arm(name)


def measured_taught(
    alone: Sequence[Alone],
    taught: Sequence[Taught],
    prices: Prices | None = None,
    level_column: str | None = None,
    teacher_prices: Prices | None = None,
) -> MeasuredArm:
    """Measure the student with one teacher; `alone` and `taught` have the same questions in the same order."""
    lessons = [lesson for item in taught for lesson in item.group.lessons]
    solutions = [lesson.taught for lesson in lessons if lesson.taught is not None]
    approaches = [item.prepared.approach for item in alone if item.prepared.approach is not None]
    scored = ~np.isnan(compared(taught)[1])
    return MeasuredArm(
        taught_measures(alone, taught, prices, teacher_prices),
        {
            "questions": len(taught),
            "n": int(scored.sum()),
            "unscorable": len(lessons) - int(scored.sum()),
            "truncated_solutions": sum(solution.truncated for solution in solutions),
            "truncated_approaches": sum(approach.truncated for approach in approaches),
            "truncated_teachings": sum(lesson.sample.completion.truncated for lesson in lessons if lesson.sample),
            "dropped_groups": sum(item.group.dropped is not None for item in taught),
        },
        dict(Counter(lesson.failure for lesson in lessons if lesson.failure)),
        gain_measures(taught, level_column),
        scored_gains(taught),
    )


def mean_over_students(parts: Sequence[MeasuredArm]) -> MeasuredArm:
    """Return the mean over students of what each was measured at on the same questions in the same order.

    A measure is the mean over those that have it: no student without a price costs anything. Counts are sums, but for
    that of the questions; every gain of a question counts once for each student.
    """
    if len(parts) == 1:
        return parts[0]
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
    by = dict.fromkeys(by for part in parts for by in part.gains)
    return MeasuredArm(
        _joined([part.measures for part in parts]),
        dict(counts) | {"questions": max(part.counts["questions"] for part in parts)},
        dict(sum((Counter(part.failures) for part in parts), Counter())),
        {name: _joined([part.gains.get(name, {}) for part in parts]) for name in by},
        tuple(gain for part in parts for gain in part.question_gains),
    )


def _joined(parts: Sequence[Mapping[str, Measure]]) -> dict[str, Measure]:
    """Return the means over students by name."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: over_students([part[name] for part in parts if name in part]) for name in names}


def question_gains(taught: Sequence[Taught]) -> dict[str, float]:
    """Summarise gains over questions: shares improved, unchanged and harmed, and quantiles; empty if none is scored."""
    return distribution(scored_gains(taught))


def scored_gains(taught: Sequence[Taught]) -> tuple[float, ...]:
    """Return the mean gain of every question that is scored."""
    base, correct = compared(taught)
    scored = ~np.isnan(correct).all(axis=1)
    # Thirds of baselines and of lessons leave a gain of nothing at some 1e-17.
    return tuple(map(float, np.nanmean(correct[scored] - base[scored], axis=1).round(ROUNDED_TO)))


def distribution(gains: Sequence[float]) -> dict[str, float]:
    """Return shares improved, unchanged and harmed, and quantiles; empty without gains."""
    if not gains:
        return {}
    found = np.asarray(gains)
    shares = {"improved": found > 0, "unchanged": found == 0, "harmed": found < 0}
    return {name: float(np.mean(share)) for name, share in shares.items()} | {
        name: float(np.quantile(found, at)) for name, at in QUANTILES.items()
    }
