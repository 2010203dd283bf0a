"""Tables of students on resume: addresses and limits are free, what answers depend on is not."""

from __future__ import annotations

import pytest

from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.configuration.resume.differences import difference

API = (
    "model: gpt, base_url: 'http://localhost:1/v1', max_model_len: 9000, "
    "price_per_million_tokens: {prompt: 1, completion: 2}"
)
"""An entry's keys of a student behind an API."""


def composed(*arguments: str):
    return compose(["teacher_rcl", "student_model=m/m", *arguments], Machine(tuple(range(8))), servers=4).config


def changed(old: str, new: str) -> dict[str, str]:
    return difference(composed(old).flat(), composed(new))


@pytest.mark.parametrize("pool", ["students", "heldout_students"])
def test_addresses_limits_and_caps_of_an_entry_may_change_within_a_run(pool):
    old = f"{pool}={{a: {{temperature: 0.1}}, b: {{{API}, spending_cap: 5}}}}"
    new = old.replace("localhost:1", "elsewhere:2").replace("spending_cap: 5", "spending_cap: 50, tokens_per_minute: 9")
    assert old != new
    assert changed(old, new) == {}
    assert changed(old, old.replace("prompt: 1", "prompt: 3")) == {}


def test_what_answers_depend_on_is_named_by_entry_and_key():
    old = "students={a: {temperature: 0.1}, b: {system_prompt: Hurry.}}"
    found = changed(old, "students={a: {temperature: 0.2}, b: {weight: 2}, c: {max_tokens: 9}}")
    assert found == {
        "students": (
            "students.a.temperature: 0.1 → 0.2; students.b.system_prompt: Hurry. → (not there); "
            "students.b.weight: (not there) → 2; students.c: (not there) → {max_tokens: 9}"
        )
    }


def test_the_order_of_a_table_is_part_of_who_is_drawn():
    old = "students={a: {temperature: 0.1}, b: {}}"
    assert changed(old, "students={b: {}, a: {temperature: 0.1}}") == {"students": "students: the order a, b → b, a"}


def test_a_pool_in_place_of_one_student_is_another_run():
    [said] = difference(composed().flat(), composed("students={a: {}}")).values()
    assert said == "students: None → {'a': {}}"
