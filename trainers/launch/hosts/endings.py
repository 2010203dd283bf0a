"""The end of a run by one of its hosts, as the others hear of it."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.serving.processes.server_group import ServerError

HOST_LOST = 6
"""Exit status of a run that lost a host."""


@dataclass(frozen=True)
class RunEnding:
    """The reason for which a run ends before its time.

    Args:
        host: on which it began.
        reason: in words, of one line.
        status: with which all hosts end.
        fatal: whether training processes are lost with it, so that nothing can be saved.
    """

    host: str
    reason: str
    status: int
    fatal: bool = True

    def __str__(self) -> str:
        """Return the last line of every host."""
        return f"the run ended by host {self.host}: {self.reason}"


def lost(host: str, silent_s: float) -> RunEnding:
    """Return the ending by a host that was not heard for a time."""
    return RunEnding(
        host, f"nothing was heard of it for {silent_s:.0f} s: it, its network or its launch is gone", HOST_LOST
    )


class EndedElsewhere(RuntimeError):
    """The run ends for a reason that another host has, or that is the loss of one.

    Args:
        ending: the reason.
    """

    def __init__(self, ending: RunEnding) -> None:
        super().__init__(str(ending))
        self.ending = ending


class ServersElsewhere(ServerError):
    """Servers of another host are gone, or the host with them: what trains here can still be saved.

    Args:
        ending: what happened there.
    """

    def __init__(self, ending: RunEnding) -> None:
        super().__init__(str(ending))
        self.ending = ending
