"""Protections of an output directory against a second launch."""

from __future__ import annotations

from tests.faults.protections.protection import Protection

_LOCK, _TEST = "trainers/output/lock.py", "faults/test_output_lock.py"
_SHARED = "faults/test_shared_disks.py"
_ASKS = f"{_TEST}::test_every_way_to_start_a_run_asks_for_the_lock"

LOCKS = (
    Protection(
        "lock: its record",
        _LOCK,
        "                    _write(file, mine)\n",
        "",
        f"{_TEST}::test_the_second_launch_is_refused_at_once_with_pid_and_host",
    ),
    Protection(
        "lock: the launcher asks for it",
        "trainers/launch/__main__.py",
        "with locked(composition.config.output.output_dir):",
        "if True:",
        f"{_ASKS}[launcher]",
    ),
    Protection(
        "lock: `train.py` asks for it",
        "train.py",
        "with locked(composition.config.output.output_dir) if is_first_rank() else nullcontext():",
        "with nullcontext():",
        f"{_ASKS}[train]",
    ),
    Protection(
        "lock: the sweep asks for it",
        "trainers/launch/sweep/__main__.py",
        "with locked(output) if options.only is None else nullcontext():",
        "with nullcontext():",
        f"{_ASKS}[sweep]",
    ),
    Protection(
        "lock: the process of a dead holder is looked at",
        _LOCK,
        "return _start_of(holder.pid) != holder.started",
        "return False",
        f"{_TEST}::test_a_launch_that_was_killed_holds_nothing",
    ),
    Protection(
        "lock: the time at which a process started",
        _LOCK,
        "return _start_of(holder.pid) != holder.started",
        "return _start_of(holder.pid) is None",
        f"{_TEST}::test_a_holder_is_judged_by_its_process_or_by_its_silence",
    ),
    Protection(
        "lock: one decision at a time",
        _LOCK,
        "        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "        pass\n",
        f"{_TEST}::test_no_two_launches_decide_at_the_same_time",
    ),
    Protection(
        "lock: what a killed launch left running is waited for",
        _LOCK,
        "left = [] if holder is None else _left_of(holder)",
        "left: list[int] = []",
        f"{_TEST}::test_what_a_killed_launch_left_running_is_waited_for",
    ),
    Protection(
        "lock: heartbeat",
        _LOCK,
        "            os.utime(path)\n",
        "            pass\n",
        f"{_TEST}::test_a_lock_is_touched_and_one_that_was_taken_over_ends_its_holder",
    ),
    Protection(
        "lock: a holder whose lock was overwritten ends itself",
        _LOCK,
        "            os.kill(os.getpid(), signal.SIGTERM)\n",
        "",
        f"{_TEST}::test_a_lock_is_touched_and_one_that_was_taken_over_ends_its_holder",
    ),
    Protection(
        "lock: processes of another host are not looked for on this one",
        _LOCK,
        "    if holder.place == place:\n",
        "    if True:\n",
        f"{_SHARED}::test_launches_on_other_hosts_are_refused[0-False]",
    ),
    Protection(
        "lock: nor those of another container",
        _LOCK,
        "place = f\"{boot} {Path('/proc/self/ns/pid').stat().st_ino}\"",
        "place = boot",
        f"{_SHARED}::test_launches_on_other_hosts_are_refused[0-True]",
    ),
    Protection(
        "lock: a holder on another host is gone after its silence only",
        _LOCK,
        "return silent_s > STALE_AFTER_S",
        "return True",
        f"{_SHARED}::test_what_was_lost_with_another_host_is_let_go_after_its_silence",
    ),
)
