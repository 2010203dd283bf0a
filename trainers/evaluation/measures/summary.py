"""The results of an evaluation: one arm for the student alone, one for each teacher, every number with its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trainers.confidence_intervals import Estimate
from trainers.configuration.devices.placement import STUDENT_ALONE
from trainers.evaluation.measures.breakdowns import gain_breakdowns, largest
from trainers.evaluation.measures.quantities import Prices, alone_measures, compared, taught_measures
from trainers.evaluation.measures.solved_questions import Alone, Taught
from trainers.teaching.lesson import Lesson

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


def student_alone(alone: Sequence[Alone], prices: Prices | None = None) -> Arm:
    """Return the student without a teacher, from its baselines."""
    solutions = [solution for item in alone for solution in item.prepared.baselines]
    return Arm(
        STUDENT_ALONE,
        {name: measure.estimate() for name, measure in alone_measures(alone, prices).items()},
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
    lessons = [lesson for item in taught for lesson in item.group.lessons]
    solutions = [lesson.taught for lesson in lessons if lesson.taught is not None]
    approaches = [item.prepared.approach for item in alone if item.prepared.approach is not None]
    measures = taught_measures(alone, taught, prices, teacher_prices)
    estimates = {name: measure.estimate() for name, measure in measures.items()}
    gains = gain_breakdowns(taught, level_column)
    best_level = largest(gains.get("level", {}))
    if best_level is not None:
        estimates["maximum_improvement"] = gains["level"][best_level]
    scored = ~np.isnan(compared(taught)[1])
    return Arm(
        name,
        estimates,
        {
            "questions": len(taught),
            "n": int(scored.sum()),
            "unscorable": len(lessons) - int(scored.sum()),
            "truncated_solutions": sum(solution.truncated for solution in solutions),
            "truncated_approaches": sum(approach.truncated for approach in approaches),
            "truncated_teachings": sum(lesson.sample.completion.truncated for lesson in lessons if lesson.sample),
            "dropped_groups": sum(item.group.dropped is not None for item in taught),
            **_blind_counts(lessons),
        },
        dict(Counter(lesson.failure for lesson in lessons if lesson.failure)),
        gains,
        question_gains(taught),
        best_level,
    )


def _blind_counts(lessons: Sequence[Lesson]) -> dict[str, int]:
    checks = [lesson.blind for lesson in lessons if lesson.blind is not None]
    if not checks:
        return {}
    return {"blind_checks": len(checks), "blind_unknown": sum(check.leaked is None for check in checks)}


def question_gains(taught: Sequence[Taught]) -> dict[str, float]:
    """Summarise gains over questions: shares improved, unchanged and harmed, and quantiles; empty if none is scored."""
    base, correct = compared(taught)
    scored = ~np.isnan(correct).all(axis=1)
    if not scored.any():
        return {}
    # Thirds of baselines and of lessons leave a gain of nothing at some 1e-17.
    gains = np.nanmean(correct[scored] - base[scored], axis=1).round(ROUNDED_TO)
    shares = {"improved": gains > 0, "unchanged": gains == 0, "harmed": gains < 0}
    return {name: float(np.mean(share)) for name, share in shares.items()} | {
        name: float(np.quantile(gains, at)) for name, at in QUANTILES.items()
    }
