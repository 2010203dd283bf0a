"""A run of many steps takes no more of the machine at its end than at its beginning."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainers.paths import ROOT

STEPS = int(os.environ.get("ATLAS_SOAK_STEPS", "200"))
MOST = 1.01


@pytest.mark.slow
@pytest.mark.fault(
    f"a soak of {STEPS:,} steps on simulated servers",
    "resident memory, objects, descriptors, threads and temporary files grow by less than 1% after the first tenth",
)
def test_many_steps_leave_nothing_behind(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.support.soak", str(STEPS), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    # Libraries of a trainer write to standard output, too.
    tenths = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(tenths) == 10
    for what, before in tenths[0].items():
        assert tenths[-1][what] <= before * MOST, f"{what}: {[tenth[what] for tenth in tenths]}"
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == STEPS
