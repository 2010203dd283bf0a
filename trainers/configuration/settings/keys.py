"""Every key that a run can have, read from the settings classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from trainers.configuration.settings.experiments import EXPERIMENTS, sections_of
from trainers.configuration.settings.key import Facts, Settings


@dataclass(frozen=True)
class Key:
    """One flat key: where its value stands in an experiment's settings, and what its declaration says.

    Args:
        name: as it stands in recipes and on command lines.
        section: the field of the experiment that holds its settings class.
        attribute: the field of that class.
        annotation: its type.
        default: the value where no recipe states one; null for keys that need one.
        doc: its meaning, in a sentence.
        bounds: of numbers, such as `(">= 0", "< 1")`.
        facts: what else is known of it.
        from_trl: whether it is an argument of TRL's, which documents it.
    """

    name: str
    section: str
    attribute: str
    annotation: Any
    default: Any
    doc: str
    bounds: tuple[str, ...]
    facts: Facts
    from_trl: bool = False

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that the key takes, where they are listed."""
        return choices_of(self.annotation)

    @property
    def optional(self) -> bool:
        """True when the key may be null."""
        return type(None) in members(self.annotation)


@cache
def keys_of(experiment: str) -> Mapping[str, Key]:
    """Return the keys of an experiment by name."""
    whole = EXPERIMENTS[experiment]
    sections = (keys_in(section, name) for name, section in sections_of(whole).items())
    return {name: key for keys in sections for name, key in keys.items()}


@cache
def keys_in(section: type[Settings], name: str = "") -> Mapping[str, Key]:
    """Return the keys of one settings class, which an experiment has under a name."""
    fields = ((section.prefix + attribute, attribute, field) for attribute, field in section.model_fields.items())
    return {flat: _key(flat, name, attribute, field) for flat, attribute, field in fields}


@cache
def all_keys() -> Mapping[str, Key]:
    """Return the keys of all experiments by name; of one that several have, the first one's."""
    found: dict[str, Key] = {}
    for experiment in EXPERIMENTS:
        found = {**keys_of(experiment), **found}
    return found


@cache
def names_where(**facts: Any) -> frozenset[str]:
    """Return the names of the keys, of any experiment, for which these facts hold: `names_where(computed=True)`."""
    return frozenset(name for name, key in all_keys().items() if holds(key, **facts))


def holds(key: Key, **facts: Any) -> bool:
    """Return whether a key has these facts."""
    return all(getattr(key.facts, fact) == value for fact, value in facts.items())


def members(annotation: Any) -> tuple[Any, ...]:
    """Return the types that a union is made of, or the one type that it is."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def choices_of(annotation: Any) -> tuple[str, ...]:
    """Return the words that an annotation lists; empty when it takes any."""
    listed = (get_args(part) for part in members(annotation) if get_origin(part) is Literal)
    return tuple(word for words in listed for word in words if isinstance(word, str))


def _key(name: str, section: str, attribute: str, field: FieldInfo) -> Key:
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    facts = extra["facts"]
    assert isinstance(facts, Facts)
    from_trl = not field.description
    doc = field.description or f"See TRL's documentation of `{name}`."
    return Key(name, section, attribute, field.annotation, field.default, doc, _bounds(field), facts, from_trl)


def _bounds(field: FieldInfo) -> tuple[str, ...]:
    signs = {Ge: ">= {0.ge}", Gt: "> {0.gt}", Le: "<= {0.le}", Lt: "< {0.lt}"}
    return tuple(signs[type(bound)].format(bound) for bound in field.metadata if type(bound) in signs)
