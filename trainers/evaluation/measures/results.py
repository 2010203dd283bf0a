"""The results of an evaluation: the questions of all students, and the lessons of all teachers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from trainers.configuration.devices.placement import STUDENT_ALONE
from trainers.evaluation.measures.quantities import Prices
from trainers.evaluation.measures.solved_questions import Alone, Taught
from trainers.evaluation.measures.summary import Arm, MeasuredArm, mean_over_students, measured_alone, measured_taught
from trainers.teaching.lesson import THE_STUDENT

TEACHER_PRICES = "teacher_price_per_million_tokens"
"""In a summary, not a key: the price tables of teachers behind APIs, by name."""
STUDENTS = "students"
"""In a summary: what is stated of each of several students, by name."""


@dataclass(frozen=True)
class Results:
    """All questions of an evaluation, and every teacher's lessons on them in the same order.

    Several students have the same questions, one student's after another's. `settings` are the keys of its
    configuration that say how the lessons were made and are to be read.
    """

    alone: tuple[Alone, ...]
    taught: Mapping[str, tuple[Taught, ...]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def students(self) -> tuple[str, ...]:
        """The names of the students, in order."""
        return tuple(dict.fromkeys(item.prepared.student for item in self.alone)) or (THE_STUDENT,)

    @property
    def questions(self) -> int:
        """The number of questions that each student was asked."""
        return len(self.alone) // len(self.students)

    @property
    def held_out(self) -> frozenset[str]:
        """The names of students that no training was to meet."""
        described = self.settings.get(STUDENTS) or {}
        return frozenset(name for name, entry in described.items() if entry["held_out"])

    @property
    def teacher_prices(self) -> Mapping[str, Prices]:
        """The prices of teachers' tokens, by name, where they are known."""
        return self.settings.get(TEACHER_PRICES) or {}

    def prices(self, student: str) -> Prices | None:
        """Return the prices of a student's tokens, where they are known."""
        described = self.settings.get(STUDENTS) or {}
        key = "price_per_million_tokens"
        found: Prices | None = described[student][key] if described else self.settings.get(f"student_{key}")
        return found

    def of(self, students: Collection[str]) -> Results:
        """Return the results of some students only."""
        alone = tuple(item for item in self.alone if item.prepared.student in students)
        taught = {
            name: tuple(item for item in items if item.group.prepared.student in students)
            for name, items in self.taught.items()
        }
        return replace(self, alone=alone, taught=taught)

    def arms(self) -> list[Arm]:
        """Return an arm for the students alone, then one for each teacher; of several students it is their mean."""
        return [measured.arm(name) for name, measured in self.measured().items()]

    def measured(self) -> dict[str, MeasuredArm]:
        """Return what the arms are made of, by name."""
        parts = [self.of([student])._measured(student) for student in self.students]
        return {name: mean_over_students([part[name] for part in parts]) for name in parts[0]}

    def _measured(self, student: str) -> dict[str, MeasuredArm]:
        level, prices = self.settings.get("level_column"), self.prices(student)
        found = {STUDENT_ALONE: measured_alone(self.alone, prices)}
        for name, items in self.taught.items():
            found[name] = measured_taught(self.alone, items, prices, level, self.teacher_prices.get(name))
        return found


def results_of(alone: Iterable[Alone], taught: Mapping[str, Iterable[Taught]], settings: Mapping[str, Any]) -> Results:
    """Return results in which all times were measured at the concurrency that the settings state.

    Others are left out.
    """
    at = settings.get("eval_concurrency")
    if at is not None:
        alone = [replace(item, solving=item.solving.at(at), probing=item.probing.at(at)) for item in alone]
        taught = {
            name: [replace(each, teaching=each.teaching.at(at)) for each in items] for name, items in taught.items()
        }
    return Results(tuple(alone), {name: tuple(items) for name, items in taught.items()}, settings)
