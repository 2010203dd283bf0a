"""Whatever process of a launch is ended, at whatever moment: nothing is left running, and the run goes on as it was."""

from __future__ import annotations

import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support.fault_runs import Notice
from tests.support.stand_in_runs import Launched, StandInRun
from tests.support.stand_in_training import PAUSE, STEPS

NO_ORPHAN_S = 10.0
START_S = 1.0
"""Seconds that a process takes to start, about."""
VICTIMS = ("launcher", "guard", "agent", "rank 0", "rank 1")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
OUTLAST = ("agent", "rank 0", "rank 1")
IGNORED = {"guard": {signal.SIGTERM, signal.SIGINT}, **{name: {signal.SIGTERM} for name in OUTLAST}}
"""A guard leaves when what it guards has left; TERM to what it guards is the launcher's to understand."""
STOPPED_S = 0.5
IMPATIENT = f"""
import sys
from functools import partial
from trainers.launch import running
from trainers.launch.__main__ import main
from trainers.launch.supervise import process
running.WATCH_INTERVAL_S = 0.05
process.StoppedProcesses = partial(process.StoppedProcesses, every_s=0.05, looks={int(STOPPED_S / 0.05)})
sys.exit(main())
"""
"""A launcher that waits half a second instead of 45 for a process that is stopped."""


def signals_to(victim: str) -> list[signal.Signals]:
    """Return the signals that end a process."""
    return [each for each in SIGNALS if each not in IGNORED.get(victim, ())]


def find(launcher: int, victim: str) -> psutil.Process | None:
    """Return a process of a launch, if it has started."""
    family = [psutil.Process(launcher)]
    for _ in VICTIMS.index(victim) * [None]:
        children = family[-1].children()
        if not children:
            return None
        family.append(min(children, key=lambda child: child.create_time()))
        if victim == "rank 1" and len(family) == 4:
            ranks = sorted(children, key=lambda child: child.create_time())
            return ranks[1] if len(ranks) == 2 else None
    return family[-1]


def end_at_some_moment(
    run: Launched, victim: str, how: signal.Signals, chance: random.Random, notice: Notice, steps: int, step_s: float
) -> bool:
    """Start a launch and end one of its processes; return False if the run was over before that.

    Args:
        run: the launch.
        victim: the process.
        how: the signal.
        chance: draws the moment: while something starts, or after a step.
        notice: takes the time until no process is left.
        steps: of the run.
        step_s: seconds that each takes, about.
    """
    step = chance.choice((0, chance.randrange(1, steps)))
    with run.running(start_new_session=True) as launch:
        found = None
        while launch.poll() is None and (found is None or run.steps() < step):
            with suppress(psutil.NoSuchProcess):
                found = find(launch.pid, victim)
            time.sleep(0.005)
        time.sleep(chance.uniform(0.0, step_s if step else START_S))
        if found is None or launch.poll() is not None or not found.is_running():
            return False
        found.send_signal(how)
        with notice.within(NO_ORPHAN_S):
            run.wait_until_gone()
        launch.wait()
        return True


@pytest.mark.fault(
    "launcher, guard, agent or a rank ended by KILL, TERM, INT or HUP at any moment",
    "no process is left after 10 s; the same command ends as an undisturbed run",
    sample=4,
)
def test_a_run_outlives_the_end_of_any_of_its_processes(chance: random.Random, notice: Notice, tmp_path: Path) -> None:
    run = StandInRun(tmp_path)
    victim = chance.choice(VICTIMS)
    how = chance.choice(signals_to(victim))
    while not end_at_some_moment(run, victim, how, chance, notice, STEPS, step_s=0.1):
        run = StandInRun(tmp_path / "again")
    status, said = run.to_its_end()
    assert status == 0, f"{victim} {how.name}: {said}"
    run.check_as_undisturbed()


@pytest.mark.fault(
    "SIGSTOP of the guard, the agent or a rank at any moment (the launcher waits 0.5 s instead of 45)",
    "named and killed; no process is left after 10 s more; the same command ends as an undisturbed run",
    sample=1,
)
def test_a_stopped_process_is_named_and_then_as_killed(chance: random.Random, notice: Notice, tmp_path: Path) -> None:
    run, victim = StandInRun(tmp_path), chance.choice(VICTIMS[1:])
    step = chance.randrange(STEPS)
    patient, run.command[1:3] = run.command[1:3], ["-c", IMPATIENT]
    with run.running(start_new_session=True) as launch:
        while (found := find(launch.pid, victim)) is None or run.steps() < step:
            assert launch.poll() is None
            time.sleep(0.005)
        found.suspend()
        with notice.within(STOPPED_S + NO_ORPHAN_S):
            run.wait_until_gone()
        _, said = launch.communicate(timeout=60)
    assert f"process {found.pid} of the trainer is stopped, as by SIGSTOP" in said
    assert launch.returncode > 0, said
    run.command[1:3] = patient
    status, said = run.to_its_end()
    assert status == 0, f"{victim}: {said}"
    run.check_as_undisturbed()


def test_a_killed_guard_leaves_no_rank(tmp_path: Path) -> None:
    run = StandInRun(tmp_path, {PAUSE: "1"})
    with run.running(start_new_session=True) as launch:
        while run.steps() == 0:
            time.sleep(0.02)
        guard = find(launch.pid, "guard")
        assert guard is not None
        guard.kill()
        launch.wait(60)
        assert launch.returncode == 128 + signal.SIGKILL
        assert run.processes() == []
