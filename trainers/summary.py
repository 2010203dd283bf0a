"""The numbers of an evaluation by the glossary's definitions, each with a 95% bootstrap interval over questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trainers.statistics import Estimate, bootstrap_difference, bootstrap_mean, bootstrap_ratio
from trainers.teaching.lesson import Group, Lesson, Prepared, Solution

RATES = (
    "accuracy",
    "accuracy_gain",
    "non_degradation_rate",
    "improvement_rate",
    "fix_rate",
    "leak_rate",
    "suspected_leak_rate",
    "format_failure_rate",
    "completion_rate",
)
TOKENS = (
    "solution_tokens",
    "guidance_tokens",
    "teaching_length",
    "teaching_length_baseline_right",
    "teaching_length_baseline_wrong",
)


@dataclass(frozen=True)
class Arm:
    """One row of the results: the student alone, or with one teacher.

    `counts` are plain numbers of lessons (or baselines): `n`, `unscorable`, `truncated`, … `seconds_per_lesson` is wall
    time at the run's concurrency.
    """

    name: str
    estimates: Mapping[str, Estimate]
    counts: Mapping[str, int]
    seconds_per_lesson: float | None = None
    failures: Mapping[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON form; unknown estimates are null."""
        return {
            "name": self.name,
            **{name: estimate.as_dict() for name, estimate in self.estimates.items()},
            "counts": dict(self.counts),
            "failures": dict(self.failures),
            "seconds_per_lesson": self.seconds_per_lesson,
        }


def student_alone(prepared: Sequence[Prepared], seconds: float | None = None) -> Arm:
    """The student without a teacher, from its baselines."""
    solutions = [solution for item in prepared for solution in item.baselines]
    return Arm(
        "student alone",
        {
            "accuracy": bootstrap_mean(_by_question([[s.correct for s in item.baselines] for item in prepared])),
            "completion_rate": bootstrap_mean(
                _by_question([[_completed(s) for s in item.baselines] for item in prepared])
            ),
            "solution_tokens": bootstrap_mean(_by_question([[s.tokens for s in item.baselines] for item in prepared])),
        },
        {
            "questions": len(prepared),
            "n": sum(solution.correct is not None for solution in solutions),
            "unscorable": sum(solution.correct is None for solution in solutions),
            "truncated": sum(solution.truncated for solution in solutions),
            "failed_questions": sum(item.failure is not None for item in prepared),
        },
        seconds / len(solutions) if seconds is not None and solutions else None,
    )


def taught(name: str, groups: Sequence[Group], seconds: float | None = None) -> Arm:
    """The student with one teacher. A lesson without a well-formed teaching counts as taught wrong.

    Only lessons whose taught solution and baselines have verdicts are compared; the others are counted.
    """
    base = _by_question([[_baseline(lesson) for lesson in group.lessons] for group in groups])
    correct = _by_question([[_taught(lesson) for lesson in group.lessons] for group in groups])
    base = np.where(np.isnan(correct), np.nan, base)
    correct = np.where(np.isnan(base), np.nan, correct)
    lessons = [lesson for group in groups for lesson in group.lessons]
    solutions = [lesson.taught for lesson in lessons if lesson.taught is not None]
    estimates = {
        "accuracy": bootstrap_mean(correct),
        "accuracy_gain": bootstrap_difference(correct, base),
        "non_degradation_rate": bootstrap_mean(1 - base * (1 - correct)),
        "improvement_rate": bootstrap_mean((1 - base) * correct),
        "fix_rate": bootstrap_ratio((1 - base) * correct, 1 - base),
        "leak_rate": _lesson_mean(groups, lambda lesson: lesson.leaked),
        "suspected_leak_rate": _lesson_mean(groups, lambda lesson: lesson.suspected_leak),
        "format_failure_rate": _lesson_mean(groups, lambda lesson: lesson.format_failure),
        "completion_rate": _lesson_mean(groups, lambda lesson: lesson.taught and _completed(lesson.taught)),
        "solution_tokens": _lesson_mean(groups, lambda lesson: lesson.taught and lesson.taught.tokens),
        "guidance_tokens": _lesson_mean(groups, guidance_tokens),
        "teaching_length": _lesson_mean(groups, teaching_length),
        "teaching_length_baseline_right": _lesson_mean(groups, lambda lesson: _length_where(lesson, right=True)),
        "teaching_length_baseline_wrong": _lesson_mean(groups, lambda lesson: _length_where(lesson, right=False)),
    }
    estimates["learning_efficiency"] = _efficiency(estimates["accuracy_gain"], estimates["guidance_tokens"])
    failures: dict[str, int] = {}
    for lesson in lessons:
        if lesson.failure:
            failures[lesson.failure] = failures.get(lesson.failure, 0) + 1
    return Arm(
        name,
        estimates,
        {
            "questions": len(groups),
            "n": int(np.sum(~np.isnan(correct))),
            "unscorable": int(np.sum(np.isnan(correct))),
            "truncated": sum(solution.truncated for solution in solutions),
            "truncated_teachings": sum(lesson.sample.completion.truncated for lesson in lessons if lesson.sample),
            "dropped_groups": sum(group.dropped is not None for group in groups),
        },
        seconds / len(lessons) if seconds is not None and lessons else None,
        failures,
    )


def markdown(arms: Sequence[Arm], header: str) -> str:
    """The results as one table, measures down, arms across."""
    lines = [header, "", "| | " + " | ".join(arm.name for arm in arms) + " |", "|---" * (len(arms) + 1) + "|"]
    for name in (*RATES, *TOKENS, "learning_efficiency"):
        spec = ".1%" if name in RATES else ".1f"
        cells = [arm.estimates[name].format(spec) if name in arm.estimates else "" for arm in arms]
        lines.append(f"| {LABELS.get(name, name.replace('_', ' '))} | " + " | ".join(cells) + " |")
    for name in ("n", "unscorable", "truncated", "truncated_teachings", "dropped_groups"):
        cells = [str(arm.counts.get(name, "")) for arm in arms]
        lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(cells) + " |")
    seconds = [f"{arm.seconds_per_lesson:.3f}" if arm.seconds_per_lesson is not None else "" for arm in arms]
    lines.append("| generation time (s per lesson) | " + " | ".join(seconds) + " |")
    return "\n".join(lines) + "\n"


LABELS = {
    "fix_rate": "fix rate (wrong students made right)",
    "solution_tokens": "solution tokens (student)",
    "guidance_tokens": "guidance tokens (probe + teacher)",
    "teaching_length": "teaching length (tokens)",
    "teaching_length_baseline_right": "teaching length where the student was right",
    "teaching_length_baseline_wrong": "teaching length where the student was wrong",
    "learning_efficiency": "learning efficiency (points per 1,000 guidance tokens)",
}


def guidance_tokens(lesson: Lesson) -> float | None:
    """Tokens spent on guiding the student: its approach and the teacher's whole completion."""
    if lesson.sample is None or lesson.prepared.approach is None:
        return None
    return lesson.prepared.approach.tokens + lesson.sample.completion.tokens


def teaching_length(lesson: Lesson) -> float | None:
    """Tokens inside `<teaching>`, for lessons that have one."""
    return lesson.teaching_length if lesson.teaching is not None else None


def _length_where(lesson: Lesson, *, right: bool) -> float | None:
    base = _baseline(lesson)
    if base is None or (base >= 0.5) is not right:
        return None
    return teaching_length(lesson)


def _efficiency(gain: Estimate, tokens: Estimate) -> Estimate:
    """Percentage points per 1,000 guidance tokens; the interval is that of the gain at the mean token count."""
    scale = 100 * 1000 / tokens.mean if tokens.known and tokens.mean else float("nan")
    return Estimate(gain.mean * scale, gain.low * scale, gain.high * scale, gain.n)


def _baseline(lesson: Lesson) -> float | None:
    verdicts = [solution.correct for solution in lesson.prepared.baselines if solution.correct is not None]
    return float(np.mean(verdicts)) if verdicts else None


def _taught(lesson: Lesson) -> float | None:
    return None if lesson.taught_correct is None else float(lesson.taught_correct)


def _completed(solution: Solution) -> bool:
    return solution.answered and not solution.truncated


def _lesson_mean(groups: Sequence[Group], value: Any) -> Estimate:
    return bootstrap_mean(
        _by_question(
            [[None if lesson.sample is None else value(lesson) for lesson in group.lessons] for group in groups]
        )
    )


def _by_question(rows: Sequence[Sequence[float | None]]) -> np.ndarray:
    """Values as an array of shape (questions, most values per question), NaN where there is none."""
    width = max((len(row) for row in rows), default=0)
    array = np.full((len(rows), max(width, 1)), np.nan)
    for index, row in enumerate(rows):
        array[index, : len(row)] = [np.nan if value is None else float(value) for value in row]
    return array
