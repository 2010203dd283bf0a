"""Signs in the first steps of a run that it cannot learn: each is told once, with what to do, or ends the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import fmean
from typing import Any

from trainers.grpo.alarms.alarm import Alarm, Metrics
from trainers.grpo.lesson_batches import AGREEMENT

FIRST_STEPS = 5
FIRST_QUESTIONS = 32
"""Questions before which agreement may be chance."""
NEARLY_ALL = 0.95
BUDGETS = {
    "teaching": "max_completion_length",
    "baseline": "student_max_tokens",
    "taught": "student_max_tokens",
}
"""Stages of a lesson without whose end there is no verdict, with the keys of their budgets."""
NAMES = {"teaching": "teaching", "baseline": "solution of the student alone", "taught": "taught solution"}
FORMAT_FAILURES, CUT_OFF = "format_failures", "teachings_cut_off"
"""Alarms that later steps may give reason for as well."""


def signs(means: Metrics) -> Iterator[Alarm]:
    """Yield why nothing will be learned, each with what helps, from the means of the first steps' metrics."""
    if means.get("teaching/format_failure_rate", 0.0) >= NEARLY_ALL:
        yield _sign(
            FORMAT_FAILURES,
            "the teacher writes no <teaching>…</teaching>, without which nothing reaches the student",
            "warm it up by SFT first (configs/run/teacher_sft.yaml), or raise max_completion_length if it is still "
            "thinking",
        )
    cut = [stage for stage in BUDGETS if means.get(f"teaching/truncated_rate/{stage}", 0.0) >= NEARLY_ALL]
    if cut:
        keys = ", ".join(dict.fromkeys(BUDGETS[stage] for stage in cut))
        yield _sign(
            CUT_OFF if "teaching" in cut else "solutions_cut_off",
            f"nearly every {' and '.join(NAMES[stage] for stage in cut)} is cut off by its budget",
            f"raise {keys}",
        )
    alone, taught = means.get("teaching/baseline_accuracy"), means.get("teaching/taught_accuracy")
    if alone == 0.0 and taught == 0.0:
        yield _sign(
            "nothing_solved",
            "the student solved no question, neither alone nor taught",
            "look at its solutions in lessons/: is the answer in the form that the verifier reads? Else choose easier "
            "questions, or a stronger student",
        )
    if alone == 1.0:
        yield _sign(
            "nothing_to_teach",
            "the student solved every question alone: there is nothing to teach",
            "choose harder questions, or a weaker student",
        )
    if means.get(AGREEMENT) == 1.0:
        yield _sign(
            "groups_agree",
            "all lessons of each group earned the same, so that no step changed anything",
            "raise num_generations or temperature, choose questions that the student solves sometimes, or set "
            "question_order=difficulty",
        )


def _sign(name: str, found: str, remedy: str) -> Alarm:
    return Alarm(name, found, remedy, hopeless=True)


class FirstSteps:
    """The metrics of the first steps, until there are enough of them to judge.

    Args:
        questions: of a step.
    """

    def __init__(self, questions: int) -> None:
        self._questions = questions
        self._begun = 0
        self._seen: list[Metrics] = []
        self._judged = False

    def begin(self, step: int, rows: Iterable[Metrics]) -> None:
        """Count from here: a run that is continued has first steps of its own."""
        self._begun = step

    def look(self, step: int, metrics: Metrics) -> list[Alarm]:
        """Take what was logged; return the signs, once, when there is enough to tell."""
        steps = step - self._begun
        if self._judged or "teaching/format_failure_rate" not in metrics:
            return []
        self._seen.append(metrics)
        if steps < FIRST_STEPS or steps * self._questions < FIRST_QUESTIONS:
            return []
        self._judged = True
        names = {name for each in self._seen for name in each}
        values = {name: [each[name] for each in self._seen if name in each] for name in names}
        return list(signs({name: fmean(found) for name, found in values.items() if _numbers(found)}))


def _numbers(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) for value in values)
