"""The state of each run of a sweep: from a record beside its directory, and from the directory itself."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainers.configuration.resume.decision import is_finished
from trainers.launch.end_record import EndRecord, read_end, write_end
from trainers.launch.running import STOPPED_EARLY, TRAINER_LOG
from trainers.launch.supervise.interruption import PREEMPTED
from trainers.launch.sweep.values import Run
from trainers.output.files import told
from trainers.output.lock import is_locked

State = Literal["finished", "failed", "stopped", "running", "cut off", "not started"]
CONTINUES = "the same command continues it"
_INTERRUPTED = (PREEMPTED, STOPPED_EARLY, *(128 + number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)))
"""Statuses of launches that were asked to end, and failed at nothing."""


@dataclass(frozen=True)
class RunOutcome:
    """The state of a run.

    Args:
        state: in a word or two.
        detail: why, and where its log is; empty where there is nothing to tell.
    """

    state: State
    detail: str = ""


def end_file(run: Run) -> Path:
    """Return the file in which a launch of a run writes why it ended."""
    return run.output_dir.with_name(f"{run.output_dir.name}.end.json")


def begin(run: Run) -> Path:
    """Forget how an earlier launch of a run ended; return the file for how this one does."""
    file = end_file(run)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    return file


def note_status(run: Run, status: int) -> None:
    """Write a record for a launch that wrote none: finished, asked to end, killed, or failed at what nobody foresaw."""
    file = end_file(run)
    record = read_end(file)
    # A launch that was refused, as this one ran, may have left a record.
    if record is None or record.status != status:
        log = run.output_dir / TRAINER_LOG
        with told(file):
            write_end(file, EndRecord(status, _by_status(status), str(log) if log.is_file() else None))


def _by_status(status: int) -> str:
    if status < 0:
        return f"the launch was killed by {signal.Signals(-status).name}"
    if status in _INTERRUPTED:
        return "it was asked to end"
    return "the launch failed: see what it wrote" if status else "finished"


def outcome_of(run: Run) -> RunOutcome:
    """Return the state of a run, and the reason for it."""
    if is_locked(run.output_dir):
        return RunOutcome("running")
    record = read_end(end_file(run))
    if record is not None:
        return _recorded(record)
    if is_finished(run.output_dir) or (run.output_dir / "summary.json").is_file():
        return RunOutcome("finished")
    if not run.output_dir.exists():
        return RunOutcome("not started")
    return RunOutcome("cut off", f"it was killed, and so was what watched it; {CONTINUES}")


def _recorded(record: EndRecord) -> RunOutcome:
    if record.status == 0:
        return RunOutcome("finished")
    log = f" (log: {record.log})" if record.log else ""
    if record.status in _INTERRUPTED:
        return RunOutcome("stopped", f"{record.why}{log}; {CONTINUES}")
    return RunOutcome("failed", f"status {record.status}: {record.why}{log}")
