"""Commands of studies."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.benchmarks.tools.commands import call
from trainers.launch.supervise.interruption import Interrupted
from trainers.paths import ROOT

STUDY = """
import sys
import time
from pathlib import Path
from scripts.benchmarks.tools.commands import call, ended_by_signals

@ended_by_signals()
def main():
    call(["bash", "-c", "trap 'echo ended; kill $!; exit 1' TERM; echo begun; sleep 300 & wait"], Path(sys.argv[1]))

main()
"""


def test_a_command_that_fails_ends_the_study_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "made" / "log"
    call([sys.executable, "-c", "import os; print(os.environ['SAID'])"], log, {"SAID": "said"})
    with pytest.raises(SystemExit, match=r"status 3: see .*log; the same command goes on"):
        call([sys.executable, "-c", "raise SystemExit(3)"], log)
    assert log.read_text() == "said\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_ends_a_study_ends_its_command(number: signal.Signals, tmp_path: Path) -> None:
    log = tmp_path / "log"
    # In a session of its own, as under a scheduler: the signal reaches the study alone.
    study = subprocess.Popen([sys.executable, "-c", STUDY, str(log)], cwd=ROOT, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not log.is_file() or log.read_text() != "begun\n":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        study.send_signal(number)
        assert study.wait(30) == Interrupted(number).status
        assert log.read_text() == "begun\nended\n"
    finally:
        study.kill()
