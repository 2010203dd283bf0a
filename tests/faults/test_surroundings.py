"""Machines are set up in odd ways: a run runs there as elsewhere, or says what is missing."""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.faulty_libc import jumping
from tests.support.stand_in_runs import StandInRun, heed_signals

LOCALES = ("C", "POSIX", "tr_TR.UTF-8", "de_DE.ISO-8859-1", "xx_XX")
TIME_ZONES = ("Pacific/Kiritimati", "America/St_Johns", "Nowhere/Nothing", ":")
NAMES = ("ein Päckchen", "数据", "a 'quoted' name", 'a "quoted" name', "50% of {it}", "a=b, c", "$HOME", "#1 [x] (y)")
TINY_SHARED_MEMORY = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$@"', "sh")
Variables = dict[str, str | None]


def few_files() -> None:
    """Let a process and its children open 256 files."""
    heed_signals()
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))


def odd_variables(chance: random.Random, library: str, directory: Path) -> Variables:
    """Draw an environment: each variable is odd half of the time."""
    odd: list[Callable[[], Variables]] = [
        lambda: {"LC_ALL": chance.choice(LOCALES), "PYTHONIOENCODING": chance.choice(("ascii", None))},
        lambda: {"TZ": chance.choice(TIME_ZONES)},
        lambda: {"HOME": chance.choice((None, "/nonexistent"))},
        lambda: {"TMPDIR": chance.choice((None, "/nonexistent", str(directory)))},
        lambda: {"USER": None, "LOGNAME": None, "TERM": None},
        lambda: jumping(library, chance.choice((-86400, -3600, 3600, 86400)), chance.choice((0, 1, 2))),
    ]
    return {name: value for each in odd if chance.random() < 0.5 for name, value in each().items()}


@pytest.mark.fault(
    "odd surroundings, drawn together: locale, time zone, no HOME, TMPDIR, USER, clock jumps of an hour or a day, "
    "256 open files, 64 KiB of /dev/shm, names with spaces, quotes, brackets and non-ASCII",
    "the run ends as an undisturbed one",
    sample=4,
)
def test_a_run_ends_in_odd_surroundings_as_elsewhere(chance: random.Random, faulty_libc: str, tmp_path: Path) -> None:
    workspace, temporary = tmp_path / chance.choice(NAMES), tmp_path / "tmp"
    for directory in (workspace, temporary):
        directory.mkdir()
    variables = odd_variables(chance, faulty_libc, temporary)
    before = TINY_SHARED_MEMORY if os.geteuid() == 0 and chance.random() < 0.5 else ()
    run = StandInRun(workspace, variables)
    status, said = run.to_its_end(*before, preexec_fn=chance.choice((few_files, heed_signals)))
    assert status == 0, f"{workspace.name!r} {variables} {before}: {said}"
    run.check_as_undisturbed()
    assert list(temporary.iterdir()) == []
