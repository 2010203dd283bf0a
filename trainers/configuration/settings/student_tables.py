"""Tables of students as a run is compared by: what an entry's answers depend on, and how two tables differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trainers.configuration.settings.in_words import written
from trainers.configuration.settings.key import Resume
from trainers.configuration.settings.keys import holds, keys_in
from trainers.configuration.settings.models.student import StudentSettings
from trainers.configuration.settings.students import SYSTEM_PROMPT, Member

ABSENT = "(not there)"


def shaping_keys() -> tuple[str, ...]:
    """Return the attributes of a student that its answers depend on, as its declarations say."""
    keys = keys_in(StudentSettings).values()
    return tuple(key.attribute for key in keys if holds(key, resume=Resume.SHAPES))


def shaping_values(member: Member) -> dict[str, Any]:
    """Return what a student's answers depend on, those of its system prompt included, by attribute."""
    student = member.config.student
    values = {attribute: getattr(student, attribute) for attribute in shaping_keys()}
    return values | {SYSTEM_PROMPT: member.config.prompts.student_system_prompt}


def same_students(old: Any, new: Any) -> bool:
    """Return whether two tables have the same students in the same order, whose addresses, limits and caps are free."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return bool(old == new)
    return list(_shaping(old).items()) == list(_shaping(new).items())


def table_changes(pool: str, old: Any, new: Any) -> str:
    """Say in which entries two tables of students differ, as `students.small.temperature: 0.2 → 0.3`."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return f"{pool}: {old} → {new}"
    changes = "; ".join(_changes(pool, _shaping(old), _shaping(new)))
    return changes or f"{pool}: the order {', '.join(map(str, old))} → {', '.join(map(str, new))}"


def _changes(pool: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys([*old, *new]):
        if name not in old or name not in new:
            before, after = (written(table[name]) if name in table else ABSENT for table in (old, new))
            yield f"{pool}.{name}: {before} → {after}"
            continue
        for key in dict.fromkeys([*old[name], *new[name]]):
            before, after = (written(table[name][key]) if key in table[name] else ABSENT for table in (old, new))
            if before != after:
                yield f"{pool}.{name}.{key}: {before} → {after}"


def _shaping(table: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return a table without the settings of its entries that may change within a run."""
    free = keys_in(StudentSettings).keys() - {StudentSettings.prefix + name for name in shaping_keys()}
    return {
        name: {key: value for key, value in entry.items() if StudentSettings.prefix + key not in free}
        for name, entry in table.items()
    }
