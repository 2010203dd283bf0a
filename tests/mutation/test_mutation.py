"""Mutants are drawn by the seed from modules that are there, and mistakes stand where the list says."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.protections import Protection
from tests.faults.switched_off import copied, outcome, without
from tests.mutation import fresh_caches
from tests.mutation.__main__ import record
from tests.mutation.modules import CORE, CoreModule
from tests.mutation.mutants import Outcome, changed_lines, draw, mutate
from tests.mutation.survivors import EQUIVALENT, OPEN, why
from tests.mutation.wrong_figures import MISTAKES
from trainers.paths import ROOT
from trainers.teaching.leaks.choices import options

NAMED = {mistake.name: mistake for mistake in MISTAKES}


@pytest.mark.parametrize("module", CORE, ids=lambda module: module.source)
def test_a_core_module_and_its_tests_are_there(module: CoreModule) -> None:
    assert (ROOT / module.source).is_file()
    assert [test for test in module.tests if not (ROOT / "tests" / test).is_file()] == []


@pytest.mark.parametrize("mistake", NAMED.values(), ids=NAMED)
def test_a_mistake_can_be_made_where_the_list_says_and_its_test_is_there(mistake: Protection) -> None:
    source = (ROOT / mistake.file).read_text(encoding="utf-8")
    ast.parse(without(mistake, source))
    file, _, name = mistake.test.partition("::")
    assert f"def {name.partition('[')[0]}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")


def test_equal_seeds_draw_equal_mutants() -> None:
    names = [f"m.x_f__mutmut_{number}" for number in range(50)]
    drawn = draw(names, seed=1, module="m.py", most=20)
    assert len(drawn) == 20
    assert drawn == draw(names[::-1], seed=1, module="m.py", most=20)
    assert drawn != draw(names, seed=2, module="m.py", most=20)
    assert drawn != draw(names, seed=1, module="n.py", most=20)
    assert draw(names[:3], seed=1, module="m.py", most=20) == names[:3]


def test_a_diff_is_shown_by_its_lines() -> None:
    diff = "# m.x_f__mutmut_1: survived\n--- m.py\n+++ m.py\n@@ -1,2 +1,2 @@\n def f():\n-    return 1\n+    return 2\n"
    assert changed_lines(diff) == "return 1 → return 2"


def test_a_survivor_is_open_unless_there_is_a_reason() -> None:
    assert why("trainers/jsonl.py", "a → b") == OPEN
    for module, lines in EQUIVALENT:
        assert why(module, lines) != OPEN
        assert module in {each.source for each in CORE}
        # The line before is in the module still: else its reason is of the past.
        before = " ".join(lines.partition(" → ")[0].split())
        assert before in " ".join((ROOT / module).read_text(encoding="utf-8").split())


@pytest.mark.parametrize(("survivors", "status"), [(("a → b",), 0), (("a → b", "c | d → e"), 1)])
def test_the_record_has_a_row_for_every_module_and_says_what_survived(
    survivors: tuple[str, ...], status: int, tmp_path: Path
) -> None:
    outcomes = [Outcome("m.py", 8, ()), Outcome("n.py", 2, survivors)]
    assert record(outcomes, "mutation", tmp_path) == status
    modules, left = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("mutation", "mutation-survivors"))
    killed = 10 - len(survivors)
    assert modules["rows"][0] == ["m.py", "8", "8"]
    assert modules["rows"][-1] == ["together", "10", f"{killed} ({killed / 10:.1%})"]
    assert [row[:2] for row in left["rows"]] == [["n.py", f"`{each.replace('|', '¦')}`"] for each in survivors]


def test_modules_that_are_not_tried_keep_their_rows_and_say_when_they_were(tmp_path: Path) -> None:
    first, second, third = (module.source for module in CORE[:3])
    record(
        [Outcome(first, 8, ("a | b → c",)), Outcome(second, 8, ("d → e",)), Outcome("gone.py", 8, ())], "m", tmp_path
    )
    assert record([Outcome(second, 4, ()), Outcome(third, 8, ())], "m", tmp_path, add=True) == 0
    modules, left = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("m", "m-survivors"))
    assert modules["rows"] == [
        [first, "8", "7"],
        [second, "4", "4"],
        [third, "8", "8"],
        ["together", "20", "19 (95.0%)"],
    ]
    assert left["rows"] == [[first, "`a ¦ b → c`", OPEN]]
    for found in (modules, left):
        assert [set(run) for run in found["before"]] == [{"date", "commit", "command"}]


def test_what_functions_remember_is_forgotten_before_a_mutant_is_tried() -> None:
    options("Which?\n(A) Mars\n(B) Jupiter")
    assert options.cache_info().currsize
    fresh_caches.pytest_sessionstart()
    assert options.cache_info().currsize == 0


@pytest.fixture(scope="module")
def copy() -> Iterator[Path]:
    """A copy of the repository."""
    with copied() as directory:
        yield directory


@pytest.mark.slow
def test_mutants_of_a_module_are_tried_by_its_tests(copy: Path) -> None:
    loose = CoreModule("trainers/teaching/metrics.py", ("teaching/test_reward.py", "teaching/test_metrics.py"))
    [found] = mutate([loose], copy, seed=1, most=12)
    assert found.drawn == 12
    assert 0 < found.killed < 12


@pytest.mark.slow
def test_a_mistake_in_a_figure_is_noticed(copy: Path) -> None:
    assert outcome(NAMED["training: sign of the gain"], copy) == "failed"
