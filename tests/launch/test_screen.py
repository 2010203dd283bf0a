"""The display of a run: what it shows of what processes tell, and what it leaves behind."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console

from trainers.launch.supervise import screen as screen_module
from trainers.launch.supervise.log_copy import LogCopy
from trainers.launch.supervise.process import Process
from trainers.launch.supervise.screen import Screen
from trainers.serving.processes.command import Command


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)


def drawn(screen: Screen) -> str:
    """Return what is drawn now."""
    with screen.console.capture() as captured:
        screen.console.print(screen)
    return captured.get()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that a test sets."""
    now = [0.0]
    monkeypatch.setattr(screen_module.time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_runs_down_between_steps(clock: list[float]) -> None:
    screen = Screen(terminal())
    screen.tell({"stage": "training", "done": 0, "total": 4})
    clock[0] = 10.0
    assert "left" not in drawn(screen)
    screen.tell({"done": 1})
    assert "1/4 0:10 · 0:30 left" in drawn(screen)
    clock[0] = 15.0
    assert "1/4 0:15 · 0:25 left" in drawn(screen)
    clock[0] = 60.0
    assert "1/4 1:00 · 0:00 left" in drawn(screen)
    screen.tell({"stage": "saving"})
    assert drawn(screen).split() == ["saving", "0:00"]


def test_nothing_that_is_told_is_cut_off() -> None:
    screen = Screen(terminal(40))
    note = "rollout 12 s: baseline 16 done · probe 16 done · teaching 128 done · taught 100 done, 28 running"
    screen.tell({"stage": "training", "note": note, "lesson": "question 4: taught right: Add them all up."})
    assert " ".join(drawn(screen).split()).endswith(f"{note} question 4: taught right: Add them all up.")


def test_lines_have_short_times_and_names() -> None:
    screen = Screen(terminal())
    screen.line("2026-11-28 17:00:01 trainers.callbacks step 1/3")
    assert screen.console.file.getvalue() == "17:00:01 callbacks step 1/3\n"  # type: ignore[attr-defined]


def test_a_bar_is_drawn_as_it_grows_and_leaves_no_line(tmp_path: Path) -> None:
    screen = Screen(terminal())
    copy = LogCopy(tmp_path / "log", screen)
    writing = os.dup(copy.open())
    copy.copy()
    assert not copy.said_something
    os.write(writing, b"Loading:  50%\rLoading: 100%\nread\n")
    os.close(writing)
    copy.close()
    assert screen.console.file.getvalue() == "read\n"  # type: ignore[attr-defined]
    assert (tmp_path / "log").read_text() == "Loading: 100%\nread\n"
    assert "Loading" not in drawn(screen)
    assert copy.said_something


TABLE = """
from trainers.terminal.tables import console_for_tables, tables_within
arms = ("student alone", "SFT-only teacher", "GRPO teacher")
row = ("maximum improvement (points, best level)", *["+63.5 [+47.4, +78.2]"] * 3)
console = console_for_tables()
for table in tables_within(console.width, "Results", ("", *arms), [row]):
    console.print(table)
"""


@pytest.mark.parametrize("width", [80, 120])
def test_a_table_of_a_process_is_as_wide_as_the_display_that_it_passes_above(tmp_path: Path, width: int) -> None:
    screen = Screen(terminal(width))
    with Process(Command((sys.executable, "-c", TABLE), {}), "child", tmp_path / "log", screen) as child:
        while child.status(0.1) is None:
            pass
    shown = screen.console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, shown.splitlines())) <= width
    assert shown.split() == (tmp_path / "log").read_text().split()
    assert shown.count("[+47.4, +78.2]") == 3
    assert (shown.count("+63.5 [+47.4, +78.2]") == 3) == (width == 120)
