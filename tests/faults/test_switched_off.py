"""Each protection that is switched off has a place in the source and a test; a sample of them is missed here."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.faults import switched_off
from tests.faults.protections import PROTECTIONS, Protection
from tests.faults.switched_off import copied, outcome, without
from trainers.paths import ROOT

BY_NAME = {protection.name: protection for protection in PROTECTIONS}
SAMPLE = ("lock: its record", "checkpoints: hashes of the manifest", "temporary files: those of a run that ended")


@pytest.mark.parametrize("protection", BY_NAME.values(), ids=BY_NAME)
def test_a_protection_stands_where_the_list_says_and_so_does_its_test(protection: Protection) -> None:
    source = without(protection, (ROOT / protection.file).read_text(encoding="utf-8"))
    if protection.file.endswith(".py"):
        ast.parse(source)
    file, _, name = protection.test.partition("::")
    assert f"def {name.partition('[')[0]}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def copy() -> Iterator[Path]:
    """A copy of the repository."""
    with copied() as directory:
        yield directory


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLE)
def test_a_protection_that_is_switched_off_is_missed(name: str, copy: Path) -> None:
    assert outcome(BY_NAME[name], copy) == "failed"


@pytest.mark.slow
def test_a_test_that_is_not_there_misses_nothing(copy: Path) -> None:
    none = Protection("none", "train.py", "USER_ERROR = 2", "USER_ERROR = 2", "faults/test_files.py::test_none")
    assert outcome(none, copy) == "could not be run (4)"


def test_outcomes_of_protections_that_are_not_tried_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switched_off, "copied", lambda: nullcontext(tmp_path))
    monkeypatch.setattr(switched_off, "outcome", lambda protection, _: protection.name.partition(":")[0])
    names = [protection.name for protection in PROTECTIONS]
    for only in ("lock", "hangs"):
        switched_off.main(["--only", f"{only}: ", "--add", "--output", str(tmp_path)])
    record = json.loads((tmp_path / "switched-off.json").read_text())
    expected = [[name, name.partition(":")[0]] for name in names if name.startswith(("lock: ", "hangs: "))]
    assert record["rows"] == expected
    assert [list(run) for run in record["before"]] == [["date", "commit", "command"]]
