"""Every teacher with every student: the numbers, their tables and what is drawn are those of each pair's arms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.evaluations import evaluated, pooled
from trainers.confidence_intervals import Estimate
from trainers.evaluation.measures.results import Results
from trainers.evaluation.measures.summary import Arm
from trainers.evaluation.reports import student_matrix
from trainers.evaluation.reports.results_table import ROWS
from trainers.evaluation.reports.student_matrix import (
    MEAN,
    MEAN_HELD_OUT,
    MEAN_TRAINED,
    MEASURES,
    SHOWN,
    StudentMatrix,
    matrix_of,
)

WEAK = evaluated(([False], [True]), ([False], [False]), ([False], [False]), length=4)
MIDDLING = evaluated(([True], [True]), ([False], [True]), ([False], [None]), length=6)
STRONG = evaluated(([True], [True]), ([True], [True]), ([True], [False]), length=9)
STUDENTS = ("weak", "middling", "strong")


def results(*held_out: str) -> Results:
    return pooled(held_out, weak=WEAK, middling=MIDDLING, strong=STRONG)


def shown(estimate: Estimate, measure: str) -> str:
    return estimate.format(ROWS[measure].spec, ROWS[measure].scale)


def of(arms: Sequence[Arm], name: str, measure: str) -> Estimate:
    return {arm.name: arm.estimates for arm in arms}[name][measure]


ALL = {name: results().of([name]).arms() for name in STUDENTS}
MEANS = {
    MEAN: results().arms(),
    MEAN_TRAINED: results().of(["weak", "strong"]).arms(),
    MEAN_HELD_OUT: results().of(["middling"]).arms(),
}
EVERY = matrix_of(results("middling"))


@pytest.mark.parametrize(
    ("held_out", "means"),
    [((), [MEAN]), (STUDENTS, [MEAN]), (("middling",), [MEAN, MEAN_TRAINED, MEAN_HELD_OUT])],
)
def test_pools_have_means_of_their_own_where_there_are_two(held_out: tuple[str, ...], means: list[str]) -> None:
    matrix = matrix_of(results(*held_out))
    assert list(matrix.means) == means
    assert {name: [arm.as_dict() for arm in arms] for name, arms in matrix.means.items()} == {
        name: [arm.as_dict() for arm in MEANS[name]] for name in means
    }
    marked = [f"{name} (held out)" if name in held_out else name for name in STUDENTS]
    assert list(matrix.columns) == [*marked, *means]


def test_the_numbers_are_those_of_the_arms() -> None:
    found = EVERY.as_dict()
    assert found.keys() == {"by_student", "means", "matrix"}
    assert found["by_student"] == {
        name: {"held_out": name == "middling", "arms": [arm.as_dict() for arm in ALL[name]]} for name in STUDENTS
    }
    assert found["means"] == {name: [arm.as_dict() for arm in MEANS[name]] for name in (MEAN_TRAINED, MEAN_HELD_OUT)}
    arms = {"accuracy": ["student alone", "T"], "accuracy_gain": ["T"], "non_degradation_rate": ["T"]}
    assert found["matrix"] == {
        measure: {
            arm: {
                "students": {name: of(ALL[name], arm, measure).as_dict() for name in STUDENTS},
                "means": {name: of(of_them, arm, measure).as_dict() for name, of_them in MEANS.items()},
            }
            for arm in arms[measure]
        }
        for measure in MEASURES
    }
    assert of(ALL["weak"], "T", "accuracy").mean == pytest.approx(1 / 3)


def test_a_table_has_a_teacher_a_line_and_a_student_a_column() -> None:
    accuracy, gain, harmless, rows = EVERY.tables()
    titles = [f"By student: {ROWS[name].label}" for name in MEASURES]
    assert [accuracy.title, gain.title, harmless.title, rows.title] == [*titles, "Student by student"]
    header = ("", "weak", "middling (held out)", "strong", MEAN, MEAN_TRAINED, MEAN_HELD_OUT, "questions")
    assert {table.header for table in (accuracy, gain, harmless)} == {header}
    columns = [*ALL.values(), *MEANS.values()]
    for table, measure in ((accuracy, "accuracy"), (gain, "accuracy_gain"), (harmless, "non_degradation_rate")):
        names = ["student alone", "T"] if measure == "accuracy" else ["T"]
        assert [row[0] for row in table.rows] == names
        for name, *cells, _ in table.rows:
            assert cells == [shown(of(arms, name, measure), measure) for arms in columns]
    # Of the middling student's three questions one was not scored when it was taught.
    assert [row[-1] for row in accuracy.rows] == ["3", "3 / 2 / 3 / 3 / 3 / 2"]


def test_the_table_of_pairs_has_a_line_for_each() -> None:
    table = EVERY.tables()[-1]
    assert table.header == ("", "", *(ROWS[name].label for name in SHOWN))
    heads = ["weak", "middling (held out)", "strong"]
    assert [row[:2] for row in table.rows] == [(name, arm) for name in heads for arm in ("student alone", "T")]
    for place, name in enumerate(STUDENTS):
        alone, taught = table.rows[2 * place : 2 * place + 2]
        assert taught[2:] == tuple(shown(of(ALL[name], "T", measure), measure) for measure in SHOWN)
        only = {"accuracy", "solution_tokens"}
        expected = [shown(of(ALL[name], "student alone", m), m) if m in only else "" for m in SHOWN]
        assert list(alone[2:]) == expected


def test_without_a_teacher_there_is_the_accuracy_alone() -> None:
    alone = Results(results().alone, {}, results().settings)
    matrix = matrix_of(alone)
    assert [table.title for table in matrix.tables()] == ["By student: accuracy", "Student by student"]
    assert {name: list(cells) for name, cells in matrix.as_dict()["matrix"].items()} == {
        "accuracy": ["student alone"],
        "accuracy_gain": [],
        "non_degradation_rate": [],
    }


def drawn(matrix: StudentMatrix, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the pictures are drawn from."""
    asked: dict[str, Any] = {}
    monkeypatch.setattr(student_matrix, "student_matrix", lambda *given, **named: asked.update(map=(given, named)))
    monkeypatch.setattr(student_matrix, "students_by_ability", lambda *given: asked.update(ability=given))
    matrix.draw(Path("map.png"))
    matrix.draw_by_ability(Path("ability.png"))
    return asked


def cells(columns: dict[str, Sequence[Arm]], measure: str) -> dict[str, dict[str, Estimate]]:
    return {
        name: {arm.name: arm.estimates[measure] for arm in arms if arm.name == "T" or measure == "accuracy"}
        for name, arms in columns.items()
    }


def test_what_is_drawn_is_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    found = drawn(EVERY, monkeypatch)
    columns = {"weak": ALL["weak"], "middling (held out)": ALL["middling"], "strong": ALL["strong"], **MEANS}
    expected = cells(columns, "accuracy"), cells(columns, "accuracy_gain"), Path("map.png")
    assert found["map"] == (expected, {"students": 3})
    ability = {name: of(ALL[name], "student alone", "accuracy") for name in STUDENTS}
    lengths = cells(ALL, "teaching_length")
    assert found["ability"] == (ability, cells(ALL, "accuracy_gain"), lengths, Path("ability.png"))
    assert {name: each["T"].mean for name, each in lengths.items()} == {"weak": 4, "middling": 6, "strong": 9}
