"""Rules for pools of students: names, keys and weights of entries, and what must tell held-out students apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from trainers.configuration.cli.command_line import is_secret, suggestion
from trainers.configuration.devices.placement import record_name, teacher_entries, teacher_list
from trainers.configuration.settings.checking import check_section
from trainers.configuration.settings.experiments import EvaluationExperiment, StudentExperiment
from trainers.configuration.settings.in_words import kind, written
from trainers.configuration.settings.models.student import StudentSettings
from trainers.configuration.settings.student_tables import shaping_values
from trainers.configuration.settings.students import (
    POOLS,
    SYSTEM_PROMPT,
    WEIGHT,
    Member,
    all_members,
    chosen_names,
    entry_keys,
    heldout_members,
    members,
)
from trainers.problems import Problem
from trainers.teaching.lesson import THE_STUDENT

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_STUDENT_KEY = re.compile(rf"\bstudent_({'|'.join((*StudentSettings.model_fields, SYSTEM_PROMPT))})\b")
EXAMPLE = "write students={small: {model: owner/name}, large: {model: owner/name, weight: 2}}"


def check_entries(keys: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with the tables of students among flat keys, before anything is made of them."""
    found: list[Problem] = []
    for pool in POOLS:
        table = keys.get(pool)
        if isinstance(table, Mapping):
            found += _table(pool, table)
    return found or [*_chosen(keys)]


def _chosen(keys: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the names by which an evaluation chooses among its students."""
    student = keys.get("student")
    if not isinstance(student, str | list) or not all(isinstance(name, str) for name in student):
        return
    given, chosen = f"student={written(student)}", chosen_names(student) or ()
    known = [str(name) for pool in POOLS for name in keys.get(pool) or ()]
    if not known:
        remedy = "write student_model=… for one student, or name several in students={NAME: {model: …}}"
        yield Problem(given, "chooses among students by name, and there is no table of students", remedy)
        return
    if not chosen:
        yield Problem(given, "expected a name or more", f"choose among {', '.join(known)}, or leave it out for all")
    for name, count in Counter(chosen).items():
        if name not in known:
            yield Problem(given, f"there is no student {name}", suggestion(name, known))
        elif count > 1:
            yield Problem(given, f"{name} is named {count} times", "name each student once")


def check_pool(config: StudentExperiment) -> Iterator[Problem]:
    """Yield what does not agree between the students of a run."""
    if isinstance(config, EvaluationExperiment):
        yield from _usage_records(config)
    trained = members(config)
    for held_out in heldout_members(config):
        same = next((member for member in trained if _identity(member) == _identity(held_out)), None)
        given = f"{held_out.pool}.{held_out.name}"
        if same is not None:
            who = "the student" if same.pool is None else f"{same.pool}.{same.name}"
            remedy = f"give it another model, system_prompt or sampling, or take it out of {held_out.pool}"
            yield Problem(given, f"it is also trained on: {who} has the same settings", remedy)
        elif held_out.name in {member.name for member in trained if member.pool}:
            yield Problem(given, "students has an entry of that name too", "give each student a name of its own")


def _usage_records(config: EvaluationExperiment) -> Iterator[Problem]:
    """Yield a problem for each teacher whose record of usage would be that of one of several students."""
    names = config.evaluation.teacher_names
    if names is not None and len(names) != len(teacher_list(config)):
        return  # Another rule says so; nobody knows which teacher has which name.
    asked = [member for member in all_members(config) if member.pool and member.config.student.base_url]
    students = {record_name(f"{THE_STUDENT}-{member.name}"): member for member in asked}
    for name, entry in teacher_entries(config).items():
        if isinstance(entry, Mapping) and (member := students.get(record_name(name))) is not None:
            remedy = "give every teacher a name of its own: teacher_names=[…]"
            yield Problem(
                f"teacher {name}", f"its record of usage would be that of {member.pool}.{member.name}", remedy
            )


def each_student(
    config: StudentExperiment, problems_of: Callable[[StudentExperiment], Iterable[Problem]]
) -> list[Problem]:
    """Return the problems that rules for a run of one student find with every student, each under its own keys."""
    found = [
        under_own_keys(problem, member) for member in all_members(config) for problem in problems_of(member.config)
    ]
    return list(dict.fromkeys(found))


def under_own_keys(problem: Problem, member: Member) -> Problem:
    """Return a problem that names the keys of a pool's entry in place of `student_*`."""
    given, expected, remedy = (own_keys(text, member) for text in (problem.given, problem.expected, problem.remedy))
    return replace(problem, given=given, expected=expected, remedy=remedy)


def own_keys(text: str, member: Member) -> str:
    """Return a text with a student's own keys in place of `student_*`."""
    return _STUDENT_KEY.sub(lambda match: member.key(match[1]), text)


def _table(pool: str, table: Mapping[Any, Any]) -> Iterator[Problem]:
    if not table:
        yield Problem(f"{pool}={{}}", "expected one student or more", f"{EXAMPLE}, or leave it out")
    for name, entry in table.items():
        given = f"{pool}.{written(name)}"
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            yield Problem(given, "expected a name of letters, digits, _ and -", "give the student another name")
        elif name == THE_STUDENT:
            yield Problem(given, "is what results call a student that has no name", "give the student another name")
        elif not isinstance(entry, Mapping):
            yield Problem(f"{given}={written(entry)}", f"expected the student's keys, got {kind(entry)}", EXAMPLE)
        else:
            yield from _entry(pool, given, entry)


def _entry(pool: str, given: str, entry: Mapping[Any, Any]) -> Iterator[Problem]:
    known = entry_keys(pool)
    for name, value in entry.items():
        shown = f"{given}.{name}={written(value)}"
        if is_secret(str(name)):
            remedy = f"export the key as a variable, whose name is given: {given}.api_key_env=VARIABLE"
            yield Problem(f"{given}.{name}=…", "secrets are neither arguments nor configuration", remedy)
        elif name == WEIGHT and WEIGHT not in known:
            yield Problem(shown, "held-out students are asked equally often", "leave it out")
        elif name not in known:
            plain = str(name).removeprefix("student_")
            unprefixed = f"write {plain}: the student's keys have no prefix here"
            yield Problem(shown, "no key of a student", unprefixed if plain in known else suggestion(plain, known))
    if WEIGHT in entry and WEIGHT in known and not _is_weight(entry[WEIGHT]):
        expected = "expected a number > 0: its share of the groups is this over the sum of all weights"
        remedy = "write for example weight: 1, or take the student out of the pool"
        yield Problem(f"{given}.{WEIGHT}={written(entry[WEIGHT])}", expected, remedy)
    system = entry.get(SYSTEM_PROMPT)
    if system is not None and not isinstance(system, str):
        expected = f"expected text, or null, got {kind(system)}"
        yield Problem(f"{given}.{SYSTEM_PROMPT}={written(system)}", expected, "put it in quotes")
    values = {f"student_{name}": value for name, value in entry.items() if name in StudentSettings.model_fields}
    for key, problem in check_section(StudentSettings, values).items():
        attribute = key.removeprefix("student_")
        yield Problem(
            f"{given}.{attribute}={written(entry[attribute])}",
            problem.expected,
            problem.remedy.replace(f"{key}=", f"{given}.{attribute}="),
        )


def _is_weight(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _identity(member: Member) -> tuple[Any, ...]:
    """Return what a student's answers depend on: equal ones are one student under two names."""
    return tuple(written(value) for value in (*shaping_values(member).values(), member.config.student.base_url))
