"""Disks that are full, read-only, over a quota, broken or slow: told, survived, and nothing whole is lost."""

from __future__ import annotations

import errno
import os
import random
import time
from pathlib import Path

import pytest

from tests.support.faulty_libc import failing, slow
from tests.support.small_disk import fill, small_disk
from tests.support.stand_in_runs import StandInRun
from tests.support.stand_in_training import STEPS
from trainers.launch.outcome import DISK_ERROR

ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
CALLS = 70
"""Calls that write, of the process of a run that writes most."""


@pytest.mark.fault(
    "a write fails (disk full, quota, read-only, I/O error): any one, or all from then on",
    "told in a line with the path; the same command ends as an undisturbed run",
    sample=3,
)
def test_a_write_that_fails_loses_nothing_whole(chance: random.Random, faulty_libc: str, tmp_path: Path) -> None:
    error, after, count = chance.choice(ERRORS), chance.randrange(CALLS), chance.choice((1, -1))
    run = StandInRun(tmp_path, failing(faulty_libc, tmp_path / "sft", error, after, count))
    status, said = run.to_its_end()
    what = f"{errno.errorcode[error]} from call {after}, {count} times: {said}"
    if status:
        assert os.strerror(error) in said, what
        assert status in (1, 2, DISK_ERROR), what
    assert "Traceback" not in said.partition("step ")[0], what
    status, said = StandInRun(tmp_path).to_its_end()
    assert status == 0, said
    run.check_as_undisturbed(every_row=False)


@pytest.mark.fault(
    "the disk is full from some moment on, and has room again later",
    "the run goes on or ends in words; the same command ends as an undisturbed run",
)
def test_a_disk_that_fills_up_and_is_freed(chance: random.Random, tmp_path: Path) -> None:
    with small_disk(tmp_path, 2000) as disk:
        run, step = StandInRun(disk), chance.randrange(STEPS)
        with run.running() as launch:
            while launch.poll() is None and run.steps() < step:
                time.sleep(0.005)
            filler = fill(disk)
            _, said = launch.communicate(timeout=180)
        filler.unlink()
        status, said = StandInRun(disk).to_its_end()
        assert status == 0, said
        run.check_as_undisturbed(every_row=False)


@pytest.mark.fault("a disk on which every call takes up to 50 ms", "the run ends as an undisturbed one", sample=1)
def test_a_slow_disk_costs_time_alone(chance: random.Random, faulty_libc: str, tmp_path: Path) -> None:
    run = StandInRun(tmp_path, slow(faulty_libc, tmp_path / "sft", chance.uniform(0.005, 0.05)))
    status, said = run.to_its_end()
    assert status == 0, said
    run.check_as_undisturbed()
