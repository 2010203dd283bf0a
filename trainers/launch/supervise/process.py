"""A process of a run: started in a group of its own, its output passed through and kept, gone when we are."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

from trainers.launch.plan import is_agent
from trainers.launch.supervise.log_copy import LogCopy
from trainers.launch.supervise.screen import Screen
from trainers.launch.supervise.stopped_processes import StoppedProcesses
from trainers.paths import program_path, python_path
from trainers.progress import RECORDS
from trainers.serving.processes.command import Command

STOP_GRACE_S = 15.0
logger = logging.getLogger(__name__)


class Process:
    """A running command. A context manager: after it nothing that it started is left.

    It runs under `trainers.serving.processes.die_with_parent`, which ends everything also when the launcher is killed.

    Args:
        command: what to run.
        name: what it is called when it has to be stopped.
        log: file that receives a copy of what it writes to its standard error; `None` keeps none.
        screen: what shows its lines and its progress, and then also what it writes to its standard output.
    """

    def __init__(self, command: Command, name: str, log: Path | None = None, screen: Screen | None = None) -> None:
        self._command = command
        self._name = name
        self._tee = LogCopy(log, screen) if log is not None else None
        self._screen = screen
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped: StoppedProcesses | None = None

    def __enter__(self) -> Process:
        environment = {**os.environ, **self._command.env, "PYTHONPATH": python_path(), "PATH": program_path()}
        written = self._tee.open() if self._tee else None
        if self._screen is not None:
            environment |= {RECORDS: "1", "COLUMNS": str(self._screen.console.width)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "trainers.serving.processes.die_with_parent", *self._command.argv],
            env=environment,
            stdin=subprocess.PIPE,
            # Whatever reached the terminal by another way would be written over what is drawn.
            stdout=written if self._screen is not None else None,
            stderr=written,
            start_new_session=True,
        )
        self._stopped = StoppedProcesses(self._process.pid, self._name)
        if self._tee:
            self._tee.copy()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def tail(self) -> str:
        """The end of what it wrote to its standard error."""
        return self._tee.tail if self._tee else ""

    @property
    def said_something(self) -> bool:
        """True once a line or progress was passed on, and where nobody could say so or a display shows the time."""
        return self._screen is not None or self._tee is None or self._tee.said_something

    def status(self, timeout_s: float) -> int | None:
        """Wait up to `timeout_s` seconds for the command to end; return its exit status, or `None` while it runs.

        What a signal has stopped among its processes is killed after a while, if this is asked again and again.
        """
        try:
            status = self._running().wait(timeout_s)
        except subprocess.TimeoutExpired:
            if self._stopped is not None:
                self._stopped.end()
            return None
        # Below 0 the guard itself was killed.
        return status if status >= 0 else 128 - status

    def stop(self) -> None:
        """End the command and its children: politely, then, after `STOP_GRACE_S` seconds, for certain."""
        process = self._running()
        family = _family(process.pid)
        # The agent, and ranks, outlast polite requests, which Slurm sends to every process of a job.
        outlasting = _generations(process.pid, 2) if is_agent(self._command) else set()
        if process.poll() is None:
            logger.info("stopping the %s", self._name)
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill() if member.pid in outlasting else member.terminate()
        _, left = psutil.wait_procs(family, timeout=STOP_GRACE_S)
        for member in left:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        if self._tee:
            self._tee.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"the {self._name} was not started; enter it as a context manager")
        return self._process


def _generations(pid: int, number: int) -> set[int]:
    """Return the children of a process, their children, and so on, over a number of generations."""
    if not number:
        return set()
    try:
        children = {child.pid for child in psutil.Process(pid).children()}
    except psutil.NoSuchProcess:
        return set()
    return children.union(*(_generations(child, number - 1) for child in children))


def _family(pid: int) -> list[psutil.Process]:
    """Return a process and all descendants: ranks have sessions of their own, which no group signal reaches."""
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
