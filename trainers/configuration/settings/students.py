"""The students of a run, each as the run that it would be with this student alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainers.configuration.settings.experiments import EvaluationExperiment, StudentExperiment
from trainers.configuration.settings.keys import keys_in
from trainers.configuration.settings.models.student import StudentSettings
from trainers.teaching.lesson import THE_STUDENT

TRAINED, HELD_OUT = "students", "heldout_students"
POOLS = (TRAINED, HELD_OUT)
WEIGHT, SYSTEM_PROMPT = "weight", "system_prompt"


@dataclass(frozen=True)
class Member:
    """A student of a run.

    Args:
        name: its name in `students` or `heldout_students`.
        pool: which of the two; `None` for the student that `student_model` names.
        weight: its share of the groups is this over the sum of all weights.
        config: the run with this student alone, so that its settings are in `config.student` and `config.prompts`.
        stated: the settings that its entry states itself.
    """

    name: str
    pool: str | None
    weight: int | float
    config: StudentExperiment
    stated: frozenset[str] = frozenset()

    def key(self, attribute: str) -> str:
        """Return the flat key of one of its settings, as it is typed: `student_model`, or `students.small.model`."""
        return f"student_{attribute}" if self.pool is None else f"{self.pool}.{self.name}.{attribute}"

    def deciding_key(self, attribute: str) -> str:
        """Return the flat key that decides a setting now: that of all students, where its entry does not state it."""
        return self.key(attribute) if attribute in self.stated else f"student_{attribute}"


def members(config: StudentExperiment) -> tuple[Member, ...]:
    """Return the students that a run teaches, in the order of their table: one where `student_model` stands alone.

    Of an evaluation they are those that it chooses; none where it only has held-out ones.
    """
    if config.pool.students is not None:
        return _entries(config, TRAINED)
    if config.pool.heldout_students is None:
        return (Member(THE_STUDENT, None, 1, config),)
    if isinstance(config, EvaluationExperiment):
        return ()
    return (Member(THE_STUDENT, None, 1, config.with_keys(heldout_students=None)),)


def heldout_members(config: StudentExperiment) -> tuple[Member, ...]:
    """Return the students that only evaluations meet; none where there is no such table."""
    return () if config.pool.heldout_students is None else _entries(config, HELD_OUT)


def evaluated_members(config: StudentExperiment) -> tuple[Member, ...]:
    """Return the students that a training's own evaluations ask: those held out where there are any, else its own."""
    return heldout_members(config) or members(config)


def all_members(config: StudentExperiment) -> tuple[Member, ...]:
    """Return all students of a run, those held out last."""
    return members(config) + heldout_members(config)


def chosen_names(student: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the names that an evaluation's `student` chooses, `None` for all there are."""
    return (student,) if isinstance(student, str) else None if student is None else tuple(student)


def entry_keys(pool: str) -> frozenset[str]:
    """Return the keys that an entry of a table of students can have."""
    own = {WEIGHT, SYSTEM_PROMPT} if pool == TRAINED else {SYSTEM_PROMPT}
    return frozenset(StudentSettings.model_fields) | own


def _entries(config: StudentExperiment, pool: str) -> tuple[Member, ...]:
    table: Mapping[str, Mapping[str, Any]] = getattr(config.pool, pool)
    chosen = chosen_names(config.evaluation.student) if isinstance(config, EvaluationExperiment) else None
    asked = {name: entry for name, entry in table.items() if chosen is None or name in chosen}
    return tuple(
        Member(name, pool, entry.get(WEIGHT, 1), _with(config, entry), frozenset(entry))
        for name, entry in asked.items()
    )


def _with(config: StudentExperiment, entry: Mapping[str, Any]) -> StudentExperiment:
    """Return a configuration whose one student is an entry of its pool."""
    stated = {f"student_{name}": value for name, value in entry.items() if name != WEIGHT}
    if entry.get("agent"):
        # Results and records call the student by this key.
        stated.setdefault("student_model", entry["agent"])
    inherited: dict[str, Any] = {}
    if not (entry.get("base_url") or config.student.base_url):
        of_api = {name: key for name, key in keys_in(StudentSettings).items() if key.facts.of_api}
        inherited = {name: key.default for name, key in of_api.items()}
    chosen = {"student": None} if isinstance(config, EvaluationExperiment) else {}
    return config.with_keys(**inherited | stated, **dict.fromkeys(POOLS), **chosen)
