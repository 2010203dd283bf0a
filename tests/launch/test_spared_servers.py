"""Servers that a run can do without, and what is said when one of them ends."""

from __future__ import annotations

import pytest

from trainers.configuration import compose, server_layout
from trainers.configuration.devices.machine import Machine
from trainers.launch.supervise.spared_servers import goes_on_without

POOL = "students={a: {model: x/a}, b: {model: x/b}}"
API = "c: {model: gpt, base_url: 'http://localhost:1/v1', max_model_len: 9000}"


@pytest.mark.parametrize(
    ("recipe", "arguments", "ended", "goes_on"),
    [
        ("teacher_rcl", [POOL], ["a"], True),
        ("teacher_rcl", [POOL], ["a", "b"], False),
        ("teacher_rcl", [POOL], ["teacher"], False),
        ("teacher_rcl", [POOL], ["teacher", "a"], False),
        ("teacher_rcl", ["students={a: {model: x/a}, " + API + "}"], ["a"], True),
        ("teacher_rcl", ["students={a: {model: x/a}, c: {agent: my.agents.Solver}}"], ["a"], True),
        ("teacher_rcl", [], [""], False),
        ("teacher_rcl", ["heldout_students={h: {model: x/h}}"], ["h"], True),
        ("teacher_rcl", ["heldout_students={h: {model: x/h}}"], ["student"], False),
        ("evaluate", ["teacher=x/t", POOL], ["a"], True),
        ("evaluate", ["teacher=x/t", POOL, "student=a"], ["a"], False),
    ],
)
def test_a_run_goes_on_while_somebody_is_left_to_teach(recipe, arguments, ended, goes_on):
    config = compose([recipe, "student_model=m/m", *arguments], Machine(tuple(range(8))), servers=3).config
    layout = server_layout(config)
    gone = [spec for spec in layout if ",".join(spec.students) in ended or (spec.role in ended and not spec.students)]
    assert gone
    assert goes_on_without(config, layout, gone) is goes_on
