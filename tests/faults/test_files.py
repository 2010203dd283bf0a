"""Files of a run outlive torn lines and full disks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.small_disk import small_disk
from trainers.jsonl import append, mend, whole_rows
from trainers.launch.supervise.process import Process
from trainers.serving.processes.command import Command


def test_a_whole_file_is_left_alone(tmp_path: Path) -> None:
    append(tmp_path / "rows.jsonl", [{"a": 1}])
    assert mend(tmp_path / "rows.jsonl") == 0
    assert mend(tmp_path / "none.jsonl") == 0
    assert whole_rows(tmp_path / "rows.jsonl") == [{"a": 1}]
    assert whole_rows(tmp_path / "none.jsonl") == []


def test_lines_that_were_glued_together_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n{"step": 2, "lo{"step": 3}\n[1]\n\n')
    assert whole_rows(tmp_path / "metrics.jsonl") == [{"step": 1, "loss": 1.0}]


WRITES = "import sys; [sys.stderr.write(str(n) + 'y' * 999 + '\\n') for n in range(999)]"


@pytest.mark.fault("a full disk under the trainer's log", "its output never blocks and is shown, and it is told")
def test_the_thread_that_copies_output_outlives_a_full_disk(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with small_disk(tmp_path, 64) as disk:
        # More than a pipe holds: without its reader the process would hang for good.
        with Process(Command((sys.executable, "-c", WRITES), {}), "child", disk / "trainer.log") as child:
            assert child.status(60) == 0
        shown = capfd.readouterr().err
        assert "\n998yyy" in shown
        assert shown.count("trainer.log could not be written (No space left on device)") == 1
        assert child.tail.endswith("yyy\n")


def test_a_log_that_cannot_be_opened_costs_no_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Process(Command((sys.executable, "-c", WRITES), {}), "child", tmp_path / "none" / "log") as child:
        assert child.status(60) == 0
    assert "\n998yyy" in capfd.readouterr().err
