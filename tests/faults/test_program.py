"""The program counts what the tests report, and records it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from tests.faults.__main__ import parsed, pytest_arguments
from tests.support.fault_records import COLUMNS, earlier_runs, outcome, report_of, run_of, together
from tests.support.fault_runs import FAULT, NOTICED, PROMISE, SAMPLE, Notice, Row, Tally, repeat_faults
from trainers.paths import ROOT

ROW: list[tuple[str, object]] = [(FAULT, "a kill"), (PROMISE, "no orphan")]


def report(
    when: Literal["setup", "call", "teardown"], outcome: Literal["passed", "failed", "skipped"], *noticed: float
) -> Any:
    """Return what pytest reports of a phase of a test."""
    said = [*ROW, *((NOTICED, seconds) for seconds in noticed)]
    return pytest.TestReport("id", ("", 0, ""), {}, outcome, None, when, user_properties=said, duration=1.0)


def test_repeats_are_counted_and_the_longest_time_is_kept() -> None:
    tally = Tally()
    for each in (
        [report("setup", "passed"), report("call", "passed"), report("teardown", "passed", 0.5, 2.0)],
        [report("setup", "passed"), report("call", "failed"), report("teardown", "passed", 1.0)],
        [report("setup", "failed"), report("teardown", "passed")],
        [report("setup", "skipped"), report("teardown", "passed")],
        [pytest.TestReport("other", ("", 0, ""), {}, "passed", None, "call")],
    ):
        for phase in each:
            tally.pytest_runtest_logreport(phase)
    [row] = tally.rows.values()
    assert (row.survived, row.skipped, row.noticed_s) == (1, 1, 2.0)
    assert row.lost == ["id: no reason was told"] * 2
    made = report_of([run_of([row], seed=1, repeats=4)], "reliability")
    assert made.rows == [("a kill", "no orphan", "3", "1", "2", "2.0 s")]
    assert outcome([row]).splitlines() == ["1 survived, 2 lost", *row.lost]


def test_runs_are_added_up_and_kept_apart(tmp_path: Path) -> None:
    first = run_of([Row("a kill", "no orphan", 3, noticed_s=1.0)], seed=1, repeats=3)
    second = run_of([Row("a kill", "no orphan", 1, ["x: late"], noticed_s=4.0), Row("a cut", "told", 2)], 2, 2)
    report_of([first, second], "reliability").finish("", tmp_path)
    runs = earlier_runs(tmp_path / "reliability.json")
    assert runs == [first, second]
    assert all(run["date"] and run["commit"] for run in runs)
    joined, other = together(runs)
    assert (joined.survived, joined.lost, joined.noticed_s) == (4, ["x: late"], 4.0)
    assert other == Row("a cut", "told", 2)
    # One within which a run was interrupted was not done.
    assert run_of([Row("a cut", "told")], 2, 2)["rows"] == []
    assert earlier_runs(tmp_path / "none.json") == []
    (tmp_path / "old.json").write_text('{"rows": []}')
    with pytest.raises(ValueError, match="leave --add out"):
        earlier_runs(tmp_path / "old.json")


@pytest.mark.parametrize(
    ("marked", "names", "asked", "repeats"),
    [
        (True, [], 20, 20),
        (True, ["chance", "repeat"], 20, 20),
        (True, ["chance", "repeat"], None, 3),
        (False, ["chance", "repeat"], None, SAMPLE),
        # One that draws nothing is named as ever in an ordinary run, and where it is asked for once.
        (True, [], None, 0),
        (True, [], 1, 0),
        (False, [], 20, 0),
    ],
)
def test_every_fault_is_repeated_and_no_other_test(
    marked: bool, names: list[str], asked: int | None, repeats: int
) -> None:
    marker, made = pytest.mark.fault("a kill", "no orphan", sample=3).mark, {}
    test = SimpleNamespace(get_closest_marker=lambda name: marker if marked and name == "fault" else None)
    options = SimpleNamespace(getoption={"--repeats": asked, "--real-repeats": 7}.get)
    metafunc = SimpleNamespace(definition=test, config=options, fixturenames=list(names), parametrize=made.__setitem__)
    repeat_faults(metafunc)  # type: ignore[arg-type]
    assert made == ({"repeat": range(repeats)} if repeats else {})
    assert ("repeat" in metafunc.fixturenames) == bool(repeats)


def test_what_takes_too_long_to_be_noticed_is_lost() -> None:
    taken = Notice()
    with pytest.raises(AssertionError, match=r"took 0\.0 s of -1\.0 s"), taken.within(-1.0):
        pass
    assert len(taken.seconds) == 1


@pytest.mark.parametrize(
    ("words", "chosen", "repeats"),
    [
        ([], "fault and not slow and not servers", "--repeats=20"),
        (["--real"], "fault and (slow or servers) and not slurm", "--real-repeats=5"),
        (["--real", "--repeats", "7"], "fault and (slow or servers) and not slurm", "--real-repeats=7"),
        (["--slurm"], "fault and slurm", "--real-repeats=5"),
    ],
)
def test_faults_on_stand_ins_and_real_ones_are_done_apart(words: list[str], chosen: str, repeats: str) -> None:
    arguments = pytest_arguments(parsed([*words, "--seed", "3"]))
    assert chosen in arguments
    assert {repeats, "--fault-seed=3"} <= set(arguments)
    assert arguments[-1] == str(ROOT / "tests")


def test_the_program_records_its_table(tmp_path: Path) -> None:
    chosen = ("tests/faults/test_output_lock.py", "-k", "two_launches or refused_at_once or torn_lock")
    command = [sys.executable, "-m", "tests.faults", "--repeats", "1", "--output", str(tmp_path), "--add"]
    for seed in ("1", "2"):
        doing = [*command, "--seed", seed, "--", *chosen]
        done = subprocess.run(doing, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "reliability.json").read_text(encoding="utf-8"))
    assert tuple(record["columns"]) == COLUMNS
    [[fault, _, repeats, survived, lost, noticed]] = record["rows"]
    assert (repeats, survived, lost) == ("2", "2", "0")
    assert "second launch" in fault
    assert float(noticed.removesuffix(" s")) < 2.0
    assert record["result"] == "2 survived, 0 lost"
