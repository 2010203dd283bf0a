"""One host's launch of a run on several: meet, compare, check, settle, start, watch, and end as the others do."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from trainers.configuration.composition.compose import Composition, config_file, experiment_of, load
from trainers.configuration.resume.decision import settle
from trainers.configuration.settings.experiments import Experiment
from trainers.launch.downloads import downloaded
from trainers.launch.hosts.company import Others
from trainers.launch.hosts.endings import EndedElsewhere, RunEnding, ServersElsewhere
from trainers.launch.hosts.facts import differences, facts_of_this_host
from trainers.launch.hosts.listing import HostList, address_of, addresses_of, own_address
from trainers.launch.hosts.meeting import SILENT_S, Meeting, Stage
from trainers.launch.hosts.meeting_point import meeting_point
from trainers.launch.hosts.member import HostMember, refused
from trainers.launch.hosts.parts import Host, hosts_of, on_hosts, part_of
from trainers.launch.hosts.token_file import TOKEN_FILE, shared_token, token_shared
from trainers.launch.outcome import USER_ERROR, told_end
from trainers.launch.own_host import OwnHost
from trainers.launch.plan import LaunchPlan
from trainers.launch.running import run
from trainers.launch.supervise.interruption import PREEMPTED
from trainers.output.lock import locked, patience_s, under_lock_of
from trainers.output.temporary import own_temporary_directory
from trainers.problems import ConfigurationError, Problem
from trainers.serving.interfaces import interface_of
from trainers.serving.processes.orphans import no_orphans
from trainers.serving.run_token import REFUSED, RUN_TOKEN

COMING_S = 60.0
"""Seconds in which all hosts of a run must have come."""
SEEN_S = 10.0
"""Seconds after which a file that one host wrote is to be seen by another: network file systems remember absences."""
LEAVING_S = 40.0
"""Most seconds for which the first host waits for the others to know how the run ended."""
POLL_S = 0.5
ACCEPTED = 200
NCCL = "NCCL_SOCKET_IFNAME"
"""Environment variable of the interface that NCCL takes, between hosts as within them."""
logger = logging.getLogger("launch")


@dataclass(frozen=True)
class RunRequest:
    """The request that all hosts of a run are given alike.

    Args:
        composition: the configuration, before hosts have met.
        servers: V.
        trainers: T.
    """

    composition: Composition
    servers: int
    trainers: int

    @property
    def output_dir(self) -> Path:
        """Where the run writes."""
        return Path(self.composition.config.output.output_dir)


def launch_together(hosts: HostList, asked: RunRequest, own: OwnHost) -> int:
    """Launch this host's part of a run; return the status with which all hosts end.

    The last line of every host says why, and on which host, unless all is well.

    Raises:
        ConfigurationError: when this host cannot take part.
    """
    addresses_of(hosts.names)
    name = hosts.names[hosts.index] if hosts.names else None
    address = own_address(name, hosts.first, hosts.port)
    if interface := interface_of(address):
        os.environ.setdefault(NCCL, interface)
    facts = facts_of_this_host(name, address, own.machine, asked.composition.config, asked.servers, asked.trainers)
    with _met(hosts, asked.output_dir, address) as member:
        others = Others(member, facts.name)
        try:
            member.tell(stage=Stage.MET, facts=facts, runs=True)
            status = _to_its_end(hosts, asked, own, member, others)
            ending = None
        except (EndedElsewhere, ServersElsewhere) as error:
            status, ending = error.ending.status, error.ending
        except BaseException as error:  # noqa: BLE001 - whatever it is, the others must know of it
            others.end_by(error)
            status, ending = told_end(error), _known_ending(member)
        else:
            # A host of servers alone may hear with which status the program ended before it hears why.
            failed = member.told().ending is not None or status not in (0, PREEMPTED)
            ending = _known_ending(member) if failed else None
        member.tell(stage=Stage.ENDED, status=status)
    if ending is None:
        return status
    logger.error("%s", ending)
    return ending.status


def _to_its_end(hosts: HostList, asked: RunRequest, own: OwnHost, member: HostMember, others: Others) -> int:
    """Meet the other hosts, and start and watch this one's part until its end."""
    _all_have_come(member, hosts)
    known = tuple(fact for fact in member.facts() if fact is not None)
    apart = tuple(differences(known))
    _first_tells(member, hosts, apart)
    met = hosts_of(known, hosts.index, own.machine)
    config = on_hosts(asked.composition.config, met, asked.servers, asked.trainers)

    def plan_of(chosen: Experiment) -> LaunchPlan:
        return own.fit(part_of(chosen, met, hosts.index, asked.servers, asked.trainers))

    plan = plan_of(config)
    others.runs = plan.runs_program
    member.tell(stage=Stage.CHECKED, runs=plan.runs_program, problems=_named(met[hosts.index], own.look(plan)))
    member.until(lambda state: state.all_are(Stage.CHECKED), "the other hosts to look at their files and ports")
    _first_tells(member, hosts, member.problems())
    settled: Experiment | None
    if hosts.is_first:
        settled = _settled(replace(asked.composition, config=config), plan_of, own)
        member.tell(stage=Stage.SETTLED, settled=_digest(asked.output_dir) if settled else "")
    else:
        member.tell(stage=Stage.SETTLED)
        settled = _read_settled(member, hosts, asked.output_dir)
    if settled is None:
        return 0
    with own_temporary_directory() as temporary, no_orphans(temporary):
        downloaded(settled)
        return run(plan_of(settled), others)


def _settled(composition: Composition, plan_of: Callable[[Experiment], LaunchPlan], own: OwnHost) -> Experiment | None:
    """Decide for all hosts how the run starts; return `None` where it is complete."""
    config, notes = settle(composition, check=lambda config: own.examine(plan_of(config)))
    for note in notes:
        logger.info("%s", note)
    return config


def _read_settled(member: HostMember, hosts: HostList, output_dir: Path) -> Experiment | None:
    """Return the configuration that the first host saved, once it is seen here; `None` where the run is complete."""
    state = member.until(lambda state: state.settled is not None, f"{hosts.first} to look at models and data")
    if not state.settled:
        return None
    deadline = time.monotonic() + SEEN_S
    while _digest(output_dir) != state.settled:
        if time.monotonic() > deadline:
            raise ConfigurationError([_not_shared(output_dir, hosts, config_file(output_dir).name)])
        time.sleep(POLL_S)
    return experiment_of(load(output_dir) or {})


def _all_have_come(member: HostMember, hosts: HostList) -> None:
    """Wait for all hosts.

    Raises:
        ConfigurationError: on the first one, naming those that have not come in time.
    """
    deadline = time.monotonic() + COMING_S

    def in_time() -> None:
        if hosts.is_first and time.monotonic() > deadline:
            stages = member.state().stages
            missing = [place for place, stage in enumerate(stages) if stage < Stage.MET]
            expected = f"it did not come within {COMING_S:.0f} s"
            remedy = "start the same line there, too; it must reach this host's port"
            raise ConfigurationError([Problem(hosts.name(place), expected, remedy) for place in missing])

    member.until(lambda state: state.all_are(Stage.MET), "the other hosts to come", in_time)


def _first_tells(member: HostMember, hosts: HostList, problems: tuple[Problem, ...]) -> None:
    """Tell of problems once, on the first host; the others wait to hear that the run ends by them.

    Raises:
        ConfigurationError: on the first host, where there are any.
        EndedElsewhere: on the others.
    """
    if problems and hosts.is_first:
        raise ConfigurationError(problems)
    if problems:
        member.until(lambda _: False, f"{hosts.first} to say what is wrong")


def _named(host: Host, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    return tuple(replace(problem, given=f"{host.name}: {problem.given}") for problem in problems)


@contextmanager
def _met(hosts: HostList, output_dir: Path, address: str) -> Iterator[HostMember]:
    """Take part in the meeting of a run within the body; the first host holds it, and the output directory."""
    if not hosts.is_first:
        with _arrived(hosts, output_dir) as member, under_lock_of(output_dir):
            yield member
        return
    meeting = Meeting(hosts.number, time.monotonic)
    with locked(output_dir), token_shared(output_dir), meeting_point(meeting, address, hosts.port):
        logger.info("waiting for %d other hosts on %s:%d", hosts.number - 1, address, hosts.port)
        try:
            with HostMember(0, hosts.first, f"http://{address}:{hosts.port}", _new_launch()) as member:
                yield member
        finally:
            deadline = time.monotonic() + LEAVING_S
            while not meeting.all_know() and time.monotonic() < deadline:
                time.sleep(POLL_S)


def _arrived(hosts: HostList, output_dir: Path) -> HostMember:
    """Return this host's part in the meeting, once the first host has answered it.

    Raises:
        ConfigurationError: when it does not in time, refuses, or writes elsewhere.
    """
    url = f"http://{address_of(hosts.first)}:{hosts.port}"
    # The first host answers once it has the lock.
    coming_s = COMING_S + patience_s()
    exported, began = os.environ.get(RUN_TOKEN), time.monotonic()
    # An attempt may have been heard whose answer came too late, or not at all: the next must be of the same launch.
    launch = _new_launch()
    refused_since: float | None = None
    while True:
        token = shared_token(output_dir)
        if token is not None and exported is None:
            os.environ[RUN_TOKEN] = token
        member = HostMember(hosts.index, hosts.first, url, launch)
        status, now = member.call(), time.monotonic()
        refused_since = (refused_since or now) if status == REFUSED else None
        if status == ACCEPTED and token is not None:
            return member
        if status is not None and token is None and now - began > SEEN_S:
            problem = _not_shared(output_dir, hosts, TOKEN_FILE)
            _leave(member, hosts, problem)
            raise ConfigurationError([problem])
        member.close()
        if (refused_since is None or now - refused_since > SEEN_S) and (error := refused(status, url, hosts.index)):
            raise error
        if now - began > coming_s:
            expected = f"it does not answer at {url} within {coming_s:.0f} s"
            remedy = "start the same line there; MASTER_PORT, the same on all hosts, chooses another port"
            raise ConfigurationError([Problem(f"host {hosts.first}", expected, remedy)])
        time.sleep(POLL_S)


def _leave(member: HostMember, hosts: HostList, problem: Problem) -> None:
    """Tell the first host, which counts on this one where it has heard it, why this one takes no part.

    It is told until it says that the run ends: it would wait for a host that has not heard so.
    """
    name = hosts.names[hosts.index] if hosts.names else f"with NODE_RANK={hosts.index}"
    member.tell(ending=RunEnding(name, f"{problem.given}: {problem.expected}", USER_ERROR))
    deadline = time.monotonic() + SEEN_S
    while member.call() == ACCEPTED and member.state().ending is None and time.monotonic() < deadline:
        time.sleep(POLL_S)
    member.close()


def _new_launch() -> str:
    return secrets.token_hex(8)


def _known_ending(member: HostMember) -> RunEnding | None:
    """Return how the run ends by what all hosts know, which may take until a lost one has been silent for long."""
    deadline = time.monotonic() + SILENT_S + POLL_S
    while (ending := member.state().ending) is None and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return ending or member.told().ending


def _not_shared(output_dir: Path, hosts: HostList, file: str) -> Problem:
    expected = f"{hosts.first} wrote {file} there, and it is not seen on this host: they do not share the directory"
    return Problem(f"output_dir={output_dir}", expected, "choose an output_dir on a file system of all hosts")


def _digest(output_dir: Path) -> str | None:
    try:
        return hashlib.sha256(config_file(output_dir).read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
