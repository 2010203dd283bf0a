"""Every teacher with every student: tables and a picture of what each pair came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.confidence_intervals import Estimate
from trainers.evaluation.measures.results import Results
from trainers.evaluation.measures.summary import Arm
from trainers.evaluation.reports.results_table import ROWS, ResultsTable, cell, questions
from trainers.plotting import student_matrix, students_by_ability

MEASURES = ("accuracy", "accuracy_gain", "non_degradation_rate")
"""Measures that have a table of teachers and students."""
SHOWN = (*MEASURES, "leak_rate", "teaching_length", "solution_tokens")
"""Measures of every pair in the one table that has a row for each."""
MEAN, MEAN_TRAINED, MEAN_HELD_OUT = "mean of all", "mean of students", "mean of held-out students"
"""Names of columns, such as no student can have."""


@dataclass(frozen=True)
class StudentMatrix:
    """The arms of each student, and those of means over students: of all, and of either pool where there are both.

    Args:
        by_student: the arms by student, in the order of arms.
        means: the arms by what they are the mean of, in the same order.
        held_out: the names of students that no training was to meet.
    """

    by_student: Mapping[str, Sequence[Arm]]
    means: Mapping[str, Sequence[Arm]]
    held_out: frozenset[str]

    @property
    def columns(self) -> dict[str, Sequence[Arm]]:
        """The arms by the headings of the tables."""
        return {f"{name}{self._mark(name)}": arms for name, arms in self.by_student.items()} | dict(self.means)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form: the arms of each student, the means besides `arms`, and the matrix of `MEASURES`."""
        by_student = {
            name: {"held_out": name in self.held_out, "arms": [arm.as_dict() for arm in arms]}
            for name, arms in self.by_student.items()
        }
        parts = {name: [arm.as_dict() for arm in arms] for name, arms in self.means.items() if name != MEAN}
        return {"by_student": by_student, "means": parts, "matrix": {name: self._cells(name) for name in MEASURES}}

    def tables(self) -> list[ResultsTable]:
        """Return a table of teachers down and students across for each of `MEASURES`, and one with a row per pair."""
        return [*(self._across(name) for name in MEASURES if self._arms_with(name)), self._rows()]

    def draw(self, path: Path) -> None:
        """Draw accuracy and gain of every pair."""
        student_matrix(
            _measured(self.columns, "accuracy"),
            _measured(self.columns, "accuracy_gain"),
            path,
            students=len(self.by_student),
        )

    def draw_by_ability(self, path: Path) -> None:
        """Draw gain and teaching length of every teacher over the accuracies of its students alone."""
        students_by_ability(
            {name: arms[0].estimates["accuracy"] for name, arms in self.by_student.items()},
            _measured(self.by_student, "accuracy_gain"),
            _measured(self.by_student, "teaching_length"),
            path,
        )

    def _mark(self, student: str) -> str:
        return " (held out)" if student in self.held_out else ""

    def _arms_with(self, measure: str) -> list[str]:
        return [arm.name for arm in self.means[MEAN] if measure in arm.estimates]

    def _cells(self, measure: str) -> dict[str, dict[str, Any]]:
        """Return a measure by arm and student."""
        return {
            arm: {
                "students": {name: _of(arms, arm, measure).as_dict() for name, arms in self.by_student.items()},
                "means": {name: _of(arms, arm, measure).as_dict() for name, arms in self.means.items()},
            }
            for arm in self._arms_with(measure)
        }

    def _across(self, measure: str) -> ResultsTable:
        row, rows = ROWS[measure], []
        for arm in self._arms_with(measure):
            found = [_of(arms, arm, measure) for arms in self.columns.values()]
            rows.append((arm, *(cell(estimate, row) for estimate in found), questions(found)))
        return ResultsTable(f"By student: {row.label}", ("", *self.columns, "questions"), tuple(rows))

    def _rows(self) -> ResultsTable:
        rows = [
            (f"{name}{self._mark(name)}", arm.name, *(cell(arm.estimates.get(m), ROWS[m]) for m in SHOWN))
            for name, arms in self.by_student.items()
            for arm in arms
        ]
        return ResultsTable("Student by student", ("", "", *(ROWS[name].label for name in SHOWN)), tuple(rows))


def matrix_of(results: Results) -> StudentMatrix:
    """Return the matrix of an evaluation of several students."""
    held_out = [name for name in results.students if name in results.held_out]
    trained = [name for name in results.students if name not in results.held_out]
    means = {MEAN: results.arms()}
    if held_out and trained:
        means |= {MEAN_TRAINED: results.of(trained).arms(), MEAN_HELD_OUT: results.of(held_out).arms()}
    by_student = {name: results.of([name]).arms() for name in results.students}
    return StudentMatrix(by_student, means, results.held_out)


def _measured(columns: Mapping[str, Sequence[Arm]], measure: str) -> dict[str, dict[str, Estimate]]:
    """Return a measure by column and arm, of the arms that have it."""
    return {
        name: {arm.name: arm.estimates[measure] for arm in arms if measure in arm.estimates}
        for name, arms in columns.items()
    }


def _of(arms: Sequence[Arm], name: str, measure: str) -> Estimate:
    return next(arm for arm in arms if arm.name == name).estimates[measure]
