"""Temporary files of a run lie in one directory, which is gone after it, however it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from trainers.output.temporary import LONGEST, TEMPORARY, own_temporary_directory
from trainers.paths import ROOT


def test_a_run_has_a_directory_of_its_own_that_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with own_temporary_directory() as directory:
        made = Path(tempfile.mkdtemp(prefix="torchelastic_"))
        child = "import tempfile; print(tempfile.mkdtemp(prefix='vllm_dist_'))"
        by_child = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout
        assert made.parent == Path(by_child.strip()).parent == directory
        assert len(str(directory)) < LONGEST
    assert not directory.exists()
    assert TEMPORARY not in os.environ


STARTS = """
import os, subprocess, sys, tempfile, time
from trainers.output.temporary import own_temporary_directory
with own_temporary_directory() as directory:
    guard = [sys.executable, "-m", "trainers.serving.processes.die_with_parent", sys.executable, "-c"]
    child = subprocess.Popen([*guard, "import time; time.sleep(600)"], stdin=subprocess.PIPE, start_new_session=True)
    time.sleep(1)
    print(directory, flush=True)
    time.sleep(600)
"""


@pytest.mark.fault("a launcher killed", "its temporary files are gone")
def test_a_launcher_that_is_killed_leaves_no_directory() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", STARTS], stdout=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stdout is not None
        directory = Path(run.stdout.readline().strip())
        assert directory.is_dir()
        run.kill()
    deadline = time.monotonic() + 30
    while directory.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not directory.exists()
