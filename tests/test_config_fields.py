"""The typed table of keys, and the snapshot of TRL's."""

from __future__ import annotations

import enum
from typing import Any, Literal

import pytest

from trainers.configuration import snapshot
from trainers.configuration.annotations import describe, fits, members
from trainers.configuration.fields import EXPERIMENTS, fields_of
from trainers.configuration.foreign import NEEDLESS, REFUSED, RENAMED, REPLACED
from trainers.configuration.values import check_value, within
from trainers.configuration.wording import expected, kind, typed


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (float | None, "float | null"),
        (list[str] | str | None, "list[str] | str | null"),
        (dict[str, Any] | str, "dict | str"),
        (Colour | str, "str"),
        (str | Literal[False], "str | false"),
    ],
)
def test_annotations_as_text(annotation: Any, text: str) -> None:
    assert describe(annotation) == text


def test_members_of_enumerations() -> None:
    assert members(Colour | str) == ("red", "blue")
    assert members(int) == ()


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        (1, "float", True),
        (True, "int", False),
        (1.0, "int", False),
        (None, "int | null", True),
        (None, "int", False),
        (["a"], "list[str]", True),
        ([1], "list[str]", False),
        ({}, "dict | str", True),
        (False, "str | false", True),
        (True, "str | false", False),
    ],
)
def test_values_fit_types(value: Any, text: str, expected: bool) -> None:
    assert fits(value, text) is expected


@pytest.mark.parametrize(
    ("value", "bounds", "expected"),
    [(1, ">= 1", True), (0, "> 0, <= 1", False), (1, "> 0, <= 1", True), (0, "!= 0", False)],
)
def test_bounds(value: float, bounds: str, expected: bool) -> None:
    assert within(value, bounds) is expected


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_default_is_a_valid_value(experiment: str) -> None:
    fields = fields_of(experiment).values()
    wrong = [str(check_value(field.default, field)) for field in fields if check_value(field.default, field)]
    assert wrong == []


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_key_of_ours_is_documented(experiment: str) -> None:
    assert all(field.doc for field in fields_of(experiment).values())


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_type_can_be_said_in_words(experiment: str) -> None:
    assert all(expected(field.type) for field in fields_of(experiment).values())


def test_values_and_types_in_words() -> None:
    assert typed({"a": [True, None, 0.5]}) == "{a: [true,null,0.5]}"
    assert expected("null | int | list[str]") == "a whole number, or a list [a,b] of text, or null"
    assert (kind([1]), kind(None), kind("x")) == ("a list", "null", "text")


def test_no_replaced_key_is_a_key() -> None:
    computed = {"gradient_accumulation_steps", "use_cpu", "resume_from"}
    for experiment in EXPERIMENTS:
        assert REPLACED & fields_of(experiment).keys() <= computed


def test_what_a_foreign_key_becomes_is_clear_and_exists() -> None:
    keys = {key for experiment in EXPERIMENTS for key in fields_of(experiment)}
    assert {renamed.to for renamed in RENAMED.values()} <= keys
    assert not RENAMED.keys() & (NEEDLESS.keys() | REFUSED.keys())
    assert {key for key, needless in NEEDLESS.items() if needless.values} == (NEEDLESS.keys() & REFUSED.keys())


@pytest.mark.slow
def test_the_snapshot_equals_the_installed_trl() -> None:
    assert snapshot.PATH.read_text(encoding="utf-8") == snapshot.render(snapshot.take()), (
        "TRL's fields have changed: run `python -m trainers.configuration.snapshot`, and read the diff"
    )
