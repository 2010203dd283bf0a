"""A host arrives at the meeting once, however many attempts it takes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.free_ports import consecutive_free_ports
from trainers.launch import together
from trainers.launch.hosts.listing import HostList
from trainers.launch.hosts.meeting import Meeting, Stage, State
from trainers.launch.hosts.meeting_point import meeting_point
from trainers.serving.run_token import RUN_TOKEN

TOKEN = "token-of-the-test"


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> HostList:
    """Two hosts of one address, seen from the second; the run's token is exported on both."""
    monkeypatch.setenv(RUN_TOKEN, TOKEN)
    monkeypatch.setattr(together, "POLL_S", 0.05)
    return HostList(2, 1, ("127.0.0.1", "127.0.0.1"), "127.0.0.1", consecutive_free_ports(1))


class LateMeeting(Meeting):
    """Hears every report, and says so of the first one when nobody waits for it any more."""

    late_s = 0.0

    def hear(self, report: object) -> State:
        state = super().hear(report)  # type: ignore[arg-type]
        late_s, self.late_s = self.late_s, 0.0
        time.sleep(late_s)
        return state


def test_a_host_whose_first_report_was_answered_too_late_comes_by_the_next(
    hosts: HostList, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("trainers.launch.hosts.member.CALL_S", 0.5)
    monkeypatch.setattr(together, "shared_token", lambda _: TOKEN)
    meeting = LateMeeting(2, time.monotonic)
    meeting.late_s = 1.0
    with meeting_point(meeting, "127.0.0.1", hosts.port), together._arrived(hosts, tmp_path) as member:
        member.tell(stage=Stage.MET)
        member.until(lambda state: state.stages[1] == Stage.MET, "itself")


def test_a_host_that_sees_the_token_file_after_it_was_heard_comes_too(
    hosts: HostList, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = iter([None, None])
    monkeypatch.setattr(together, "shared_token", lambda _: next(seen, TOKEN))
    meeting = Meeting(2, time.monotonic)
    with meeting_point(meeting, "127.0.0.1", hosts.port), together._arrived(hosts, tmp_path) as member:
        member.tell(stage=Stage.MET)
        member.until(lambda state: state.stages[1] == Stage.MET, "itself")
