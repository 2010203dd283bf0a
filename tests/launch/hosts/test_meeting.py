"""Who has come, who is lost, and by whom a run ends, on a clock of the test's own."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from tests.launch.hosts.test_facts import FIRST
from trainers.launch.hosts.endings import HOST_LOST, RunEnding
from trainers.launch.hosts.meeting import SILENT_S, Meeting, PlaceTaken, Report, Stage, read_report, read_state
from trainers.problems import Problem

FAILED = RunEnding("b", "the trainer failed", 7)


class Company:
    """A meeting of three hosts, of which the second and third train."""

    def __init__(self) -> None:
        self.now = 0.0
        self.meeting = Meeting(3, lambda: self.now)
        self.reports = [
            Report(place, f"launch {place}", Stage.SERVING, place > 0, replace(FIRST, name="abc"[place]))
            for place in range(3)
        ]

    def beat(self, *places: int, **changes):
        """Let hosts report; returns what the last one hears."""
        for place in places:
            self.reports[place] = replace(self.reports[place], **changes)
            state = self.meeting.hear(self.reports[place])
        return state


@pytest.fixture
def company() -> Company:
    made = Company()
    made.beat(0, 1, 2)
    return made


def test_all_are_as_far_as_the_last_one() -> None:
    company = Company()
    assert not company.beat(0, 1).all_are(Stage.MET)
    assert company.beat(2, stage=Stage.MET).all_are(Stage.MET)
    assert not company.beat(0).all_are(Stage.SERVING)
    assert [facts.name for facts in company.meeting.facts() if facts] == ["a", "b", "c"]


def test_facts_are_kept_that_are_told_once(company: Company) -> None:
    company.beat(1, facts=None)
    assert company.meeting.facts()[1] == replace(FIRST, name="b")


def test_a_silent_host_ends_the_run_by_its_name(company: Company) -> None:
    company.now = SILENT_S - 1
    assert company.beat(0, 1).ending is None
    company.now = SILENT_S + 1
    ending = company.beat(0).ending
    assert (ending.host, ending.status, ending.fatal) == ("c", HOST_LOST, True)
    assert "nothing was heard of it for 20 s" in str(ending)


def test_the_loss_of_a_host_that_only_serves_leaves_something_to_save(company: Company) -> None:
    company.now = SILENT_S + 1
    company.beat(1, 2)
    company.now += 1
    assert company.beat(1).ending == replace(company.beat(2).ending, host="a", fatal=False)


def test_a_failure_counts_once_all_have_been_heard_since(company: Company) -> None:
    company.now = 1
    assert company.beat(1, ending=FAILED).ending is None
    company.now = 2
    assert company.beat(0, ending=replace(FAILED, host="a", reason="a victim")).ending is None
    assert company.beat(2).ending == FAILED


def test_a_failure_beside_a_lost_host_is_its_consequence(company: Company) -> None:
    company.now = 1
    company.beat(0, 1, ending=FAILED)
    company.now = SILENT_S
    assert company.beat(0, 1).ending is None
    company.now = SILENT_S + 1
    assert company.beat(0, 1).ending.host == "c"


def test_hosts_that_have_ended_are_not_lost(company: Company) -> None:
    company.beat(1, 2, stage=Stage.ENDED, status=0)
    company.now = 10 * SILENT_S
    state = company.beat(0)
    assert (state.ending, state.status) == (None, 0)
    assert not company.meeting.all_know()
    company.beat(0, stage=Stage.ENDED)
    assert company.meeting.all_know()


def test_the_program_has_ended_when_it_has_on_all_hosts_that_run_it(company: Company) -> None:
    assert company.beat(1, status=75).status is None
    assert company.beat(2, status=75).status == 75


def test_a_request_reaches_all(company: Company) -> None:
    company.beat(2, request=15)
    assert company.beat(0).request == 15


def test_problems_are_collected(company: Company) -> None:
    problems = (Problem("port", "taken", "another"),)
    company.beat(1, problems=problems)
    assert company.meeting.problems() == problems


def test_a_place_is_one_launchs(company: Company) -> None:
    with pytest.raises(PlaceTaken):
        company.beat(1, launch="another")


def test_reports_and_states_survive_the_wire(company: Company) -> None:
    report = replace(company.reports[1], ending=FAILED, problems=(Problem("a", "b", "c"),), request=10, settled="x")
    assert read_report(json.loads(json.dumps(asdict(report)))) == report
    company.now = 1
    state = company.beat(0, 1, 2, ending=FAILED)
    assert state.ending == FAILED
    assert read_state(json.loads(json.dumps(asdict(state)))) == state


@pytest.mark.parametrize("nonsense", [{}, {"facts": None}, {"facts": {"name": 1}, "ending": None}])
def test_what_is_no_report_is_refused(nonsense: dict) -> None:
    with pytest.raises((TypeError, ValueError, LookupError)):
        read_report(nonsense)
