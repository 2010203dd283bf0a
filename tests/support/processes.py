"""Processes of others, by what they have in their environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

import psutil

Environment = Mapping[str, str]


def environment_of(process: psutil.Process) -> Environment:
    """Return the environment that a process was started with; nothing where it is gone or not to be read."""
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


class Environments:
    """Environments of all processes.

    An engine of vLLM writes its title over its own, and outlives whoever started it. It counts as what else is in its
    session, or was when that was looked at.
    """

    def __init__(self) -> None:
        self._of_sessions: dict[int, Environment] = {}

    def known(self) -> dict[psutil.Process, Environment]:
        """Return the environment of every process that has or had one to be read."""
        found = {each: (_session(each), environment_of(each)) for each in psutil.process_iter()}
        self._of_sessions |= {session: mine for session, mine in found.values() if session and mine}
        return {
            each: environment or self._of_sessions.get(session, {}) for each, (session, environment) in found.items()
        }


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except OSError:
        return 0
