"""A host that only serves, beside hosts that train."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trainers.launch.hosts import company
from trainers.launch.hosts.company import Others
from trainers.launch.hosts.endings import RunEnding
from trainers.launch.hosts.meeting import Stage, State
from trainers.launch.supervise.interruption import Interrupted
from trainers.serving.processes.server_group import ServerError

RUNNING = State((Stage.SERVING, Stage.SERVING))


@dataclass
class Member:
    """A meeting whose state changes with each look."""

    states: list[State]
    report: Any = field(default_factory=lambda: type("Told", (), {"request": None, "ending": None})())

    def state(self) -> State:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def told(self) -> Any:
        return self.report

    def tell(self, **changes: Any) -> None:
        for name, value in changes.items():
            setattr(self.report, name, value)


@dataclass
class Servers:
    """Servers that end by the signal that asks for room, and would be restarted."""

    restarted: int = 0

    def poll(self) -> None:
        self.restarted += 1

    def check(self) -> None:
        raise ServerError("Server student-0 ended with status 0.", Path("x"), "the end")


def test_servers_that_end_for_room_are_told_to_the_others_and_not_restarted(monkeypatch):
    monkeypatch.setattr(company, "SERVING_LOOK_S", 0.0)
    asked = replace(RUNNING, request=int(signal.SIGTERM))
    member, servers = Member([RUNNING, RUNNING, asked, asked, asked, asked, replace(asked, status=75)]), Servers()
    others = Others(member, "n1")
    others.runs = False
    assert others.serve(servers) == 75
    # One turn was before the request.
    assert servers.restarted == 1
    status = Interrupted(signal.SIGTERM).status
    assert member.report.ending == RunEnding("n1", "Server student-0 ended with status 0.", status, fatal=False)
