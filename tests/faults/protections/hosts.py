"""Protections of a run over several hosts, and of what it keeps from strangers."""

from __future__ import annotations

from tests.faults.protections.protection import Protection

_MEETING, _MET = "trainers/launch/hosts/meeting.py", "launch/hosts/test_meeting.py"
_ACCESS, _TOKEN = "trainers/serving/processes/access.py", "serving/test_run_token.py"

HOSTS = (
    Protection(
        "hosts: one that falls silent ends the run",
        _MEETING,
        "silent = [place for place in present if now - self._heard[place] > SILENT_S]",
        "silent: list[int] = []",
        f"{_MET}::test_a_silent_host_ends_the_run_by_its_name",
    ),
    Protection(
        "hosts: one that has ended is not lost",
        _MEETING,
        "if report and report.stage < Stage.ENDED]",
        "if report]",
        f"{_MET}::test_hosts_that_have_ended_are_not_lost",
    ),
    Protection(
        "hosts: a failure beside a lost host is not the reason",
        _MEETING,
        "elif self._failed is not None and all(self._heard[place] >= self._failed[0] for place in present):",
        "elif self._failed is not None:",
        f"{_MET}::test_a_failure_beside_a_lost_host_is_its_consequence",
    ),
    Protection(
        "hosts: a place is one launch's",
        _MEETING,
        "if known is not None and known.launch != report.launch:",
        "if False:",
        f"{_MET}::test_a_place_is_one_launchs",
    ),
    Protection(
        "hosts: a request to make room reaches all",
        _MEETING,
        "request=asked[0] if asked else None,",
        "request=None,",
        f"{_MET}::test_a_request_reaches_all",
    ),
    Protection(
        "hosts: servers that end for room are not restarted",
        "trainers/launch/hosts/company.py",
        "servers.check() if request.made else servers.poll()",
        "servers.poll()",
        "launch/hosts/test_company.py::test_servers_that_end_for_room_are_told_to_the_others_and_not_restarted",
    ),
    Protection(
        "strangers: no path of a server without the token",
        _ACCESS,
        'if scope["type"] == "lifespan" or self._is_open(scope) or self._shows_token(scope):',
        "if True:",
        f"{_TOKEN}::test_nothing_is_answered_without_the_token_but_health",
    ),
    Protection(
        "strangers: the whole token",
        _ACCESS,
        "hmac.compare_digest(_digest(token), self._token)",
        "bool(token)",
        f"{_TOKEN}::test_what_only_resembles_the_token_is_refused",
    ),
    Protection(
        "strangers: no server without a token",
        _ACCESS,
        "        if token is None:\n",
        "        token = token or ''\n        if False:\n",
        f"{_TOKEN}::test_a_server_without_a_token_does_not_start",
    ),
    Protection(
        "strangers: ranks meet at one address",
        "trainers/launch/hosts/rendezvous.py",
        "if self.rank == 0 and self._store is None:",
        "if False:",
        "launch/hosts/test_rendezvous.py::test_the_meeting_point_of_ranks_listens_at_its_address_alone",
    ),
    Protection(
        "strangers: processes of a server speak at loopback",
        "trainers/serving/processes/server_command.py",
        "inherited |= gloo_at(LOOPBACK)",
        "pass",
        "serving/test_command.py::test_processes_of_a_server_listen_for_each_other_on_loopback_alone",
    ),
    Protection(
        "strangers: ranks of one host speak at loopback",
        "trainers/launch/hosts/parts.py",
        "address = host.address if rendezvous else LOOPBACK",
        "address = host.address",
        "launch/hosts/test_parts.py::test_ranks_of_several_hosts_speak_at_their_address_and_others_at_loopback",
    ),
    Protection(
        "strangers: no core dump with the environment's keys",
        "trainers/output/core_dumps.py",
        "resource.setrlimit(resource.RLIMIT_CORE, (0, most))",
        "resource.setrlimit(resource.RLIMIT_CORE, (most, most))",
        "output/test_core_dumps.py::test_a_crash_leaves_no_core_dump_of_itself_or_of_what_it_started",
    ),
)
