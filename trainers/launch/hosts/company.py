"""The other hosts of a run, as one that starts and watches its own processes sees them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from trainers.launch.hosts.endings import EndedElsewhere, RunEnding, ServersElsewhere
from trainers.launch.hosts.meeting import Stage
from trainers.launch.outcome import SERVER_ERROR, USER_ERROR
from trainers.launch.supervise.interruption import Interrupted, Request, deferring
from trainers.launch.supervise.preemption import RunningServer
from trainers.problems import ConfigurationError
from trainers.serving.processes.server_group import ServerError

if TYPE_CHECKING:
    # It loads an HTTP client, which a launch on one host does not need.
    from trainers.launch.hosts.member import HostMember

OTHER_ERROR = 1
"""Exit status for what nobody foresaw."""
SERVING_LOOK_S = 0.5


class OwnServers(Protocol):
    """The servers of this host."""

    def poll(self) -> None:
        """Restart what has ended, as long as that may be; raise what ends the run."""
        ...

    def check(self) -> None:
        """Raise what has ended; nothing is restarted."""
        ...


class Company(Protocol):
    """The other hosts of a run."""

    def servers_up(self, poll: Callable[[], None]) -> None:
        """Say that this host's servers are up, and wait for those of the others; `poll` looks after the own ones."""
        ...

    def look(self, request: Request) -> None:
        """Raise what ended elsewhere, and exchange requests to make room."""
        ...

    def servers(self) -> Sequence[RunningServer]:
        """Return the servers of other hosts, as far as their end is to be noticed."""
        ...

    def serve(self, servers: OwnServers) -> int:
        """Serve until the program has ended on other hosts; return its status."""
        ...

    def program_ended(self, status: int | None, request: Request) -> None:
        """Tell the others at once how the program ended here, and wait for its end there."""
        ...

    @contextmanager
    def told_why(self) -> Iterator[None]:
        """Tell the others at once why the body fails."""
        ...


class NoCompany:
    """No other hosts."""

    def servers_up(self, poll: Callable[[], None]) -> None:
        """Wait for nobody."""

    def look(self, request: Request) -> None:
        """See nobody."""

    def servers(self) -> Sequence[RunningServer]:
        """Return none."""
        return ()

    def serve(self, servers: OwnServers) -> int:
        """Serve nobody."""
        return 0

    def program_ended(self, status: int | None, request: Request) -> None:
        """Wait for nobody."""

    @contextmanager
    def told_why(self) -> Iterator[None]:
        """Tell nobody."""
        yield


ALONE = NoCompany()


@dataclass(frozen=True)
class OthersServers:
    """The servers of all other hosts."""

    member: HostMember

    def exit_status(self) -> int | None:
        """Return a status once servers elsewhere are gone.

        Raises:
            EndedElsewhere: when training processes are.
        """
        ending = self.member.state().ending
        if ending is not None and ending.fatal:
            raise EndedElsewhere(ending)
        return None if ending is None else ending.status


class Others:
    """The other hosts of a run on several.

    Args:
        member: this host's part in their meeting.
        host: name of this one.

    Attributes:
        runs: whether the program of the experiment runs here, as long as that is not known.
    """

    def __init__(self, member: HostMember, host: str) -> None:
        self._member = member
        self._host = host
        self.runs = True

    def servers_up(self, poll: Callable[[], None]) -> None:
        """Say that this host's servers are up, and wait for those of the others."""
        self._member.tell(stage=Stage.SERVING)
        self._member.until(lambda state: state.all_are(Stage.SERVING), "the servers of other hosts", poll)

    def look(self, request: Request) -> None:
        """Exchange requests to make room.

        Raises:
            ServersElsewhere: when servers of another host are gone.
            EndedElsewhere: when training processes are.
        """
        state = self._member.state()
        if request.signal is not None and self._member.told().request is None:
            self._member.tell(request=int(request.signal))
        if state.request is not None and not request.made:
            request.note(state.request, time.monotonic())
        if state.ending is not None:
            raise EndedElsewhere(state.ending) if state.ending.fatal else ServersElsewhere(state.ending)

    def servers(self) -> Sequence[RunningServer]:
        """Return the servers of other hosts as one."""
        return (OthersServers(self._member),)

    def serve(self, servers: OwnServers) -> int:
        """Serve until the program has ended on other hosts; return its status.

        Servers may end when room was asked for, as Slurm asks every process. They are not restarted then: the others
        are told, and wait for nothing that will not come.
        """
        with deferring() as request:
            while (status := self._member.state().status) is None:
                self.look(request)
                try:
                    servers.check() if request.made else servers.poll()
                except ServerError as error:
                    if not request.made:
                        raise
                    self._end(error.why, Interrupted(request.signal or 0).status)
                time.sleep(SERVING_LOOK_S)
        return status

    def program_ended(self, status: int | None, request: Request) -> None:
        """Tell the others at once how the program ended here, and wait for its end there: files say then how it went.

        Args:
            status: of it, `None` where it had no more time.
            request: to make room, as it stands; one at another host is noted, which this one may not have heard before.

        Raises:
            EndedElsewhere: when it fails on another host, and nobody asked it to end.
        """
        made_room = request.made or self._member.state().request is not None
        if status and not made_room:
            self._end(f"its part of the training or evaluation failed with status {status}", status)
            return
        self._member.tell(stage=Stage.DONE)
        with suppress(EndedElsewhere) if made_room else nullcontext():
            self._member.until(lambda state: state.done, "the program to end on other hosts")
        asked = self._member.state().request
        if asked is not None and not request.made:
            request.note(asked, time.monotonic())

    @contextmanager
    def told_why(self) -> Iterator[None]:
        """Tell the others at once why the body fails."""
        try:
            yield
        except BaseException as error:
            self.end_by(error)
            raise

    def end_by(self, error: BaseException) -> None:
        """Tell the others that the run ends by an error of this host; one of another host is known already."""
        if isinstance(error, EndedElsewhere | ServersElsewhere):
            return
        if isinstance(error, Interrupted):
            self._end(f"it was stopped by {error}", error.status)
        elif isinstance(error, ConfigurationError):
            self._end("; ".join(f"{found.given}: {found.expected}" for found in error.problems), USER_ERROR)
        elif isinstance(error, ServerError):
            self._end(error.why, SERVER_ERROR)
        else:
            self._end(f"{type(error).__name__}: {error}", OTHER_ERROR)

    def _end(self, reason: str, status: int) -> None:
        if self._member.told().ending is None:
            line = " ".join(reason.split())
            self._member.tell(ending=RunEnding(self._host, line, status, fatal=self.runs))
