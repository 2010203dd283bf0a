"""The first host's knowledge of all: who has come, how far each is, and why the run ends. Pure, with a clock given."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from trainers.launch.hosts.endings import RunEnding, lost
from trainers.launch.hosts.facts import HostFacts
from trainers.problems import Problem

BEAT_S = 1.0
"""Seconds between two reports of a host."""
SILENT_S = 20.0
"""Seconds without a report after which a host counts as lost. The rest of a minute is for a checkpoint and the end."""


class Stage(IntEnum):
    """The stages of a host, in order."""

    COMING = 0
    MET = 1
    CHECKED = 2
    SETTLED = 3
    SERVING = 4
    DONE = 5
    ENDED = 6


@dataclass(frozen=True)
class Report:
    """The words of a host on itself, told again and again.

    Args:
        index: its place.
        launch: tells this launch of it from another one.
        stage: how far it is.
        runs: whether it runs the program of the experiment.
        facts: told once, when it comes.
        problems: that keep it from starting.
        ending: why the run ends, if it does by this host.
        request: the signal by which somebody asks it to make room.
        status: with which its launch of a part of the program ends.
        settled: of the first host, a digest of the configuration that it saved; empty where there is nothing to do.
    """

    index: int
    launch: str
    stage: Stage = Stage.COMING
    runs: bool = False
    facts: HostFacts | None = None
    problems: tuple[Problem, ...] = ()
    ending: RunEnding | None = None
    request: int | None = None
    status: int | None = None
    settled: str | None = None


@dataclass(frozen=True)
class State:
    """The answer to a report.

    Args:
        stages: of all hosts, in order.
        ending: why the run ends, if it does.
        request: the signal by which somebody asked a host to make room.
        done: whether the program has ended on all hosts that run it.
        status: with which it has, once that is known.
        settled: see `Report`.
    """

    stages: tuple[Stage, ...]
    ending: RunEnding | None = None
    request: int | None = None
    done: bool = False
    status: int | None = None
    settled: str | None = None

    def all_are(self, stage: Stage) -> bool:
        """Return whether every host is as far."""
        return min(self.stages) >= stage


class PlaceTaken(RuntimeError):
    """Another launch has the place of this one."""


class Meeting:
    """All hosts of a run, as they report. Threads may use it at the same time.

    A failure counts once every host has reported after it: one that does not was lost, and is the reason.

    Args:
        number: of hosts.
        clock: seconds, monotonic.
    """

    def __init__(self, number: int, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._reports: list[Report | None] = [None] * number
        self._heard = [0.0] * number
        self._told = [False] * number
        self._failed: tuple[float, RunEnding] | None = None
        self._ending: RunEnding | None = None

    def hear(self, report: Report) -> State:
        """Take a report; return what its host should know.

        Raises:
            PlaceTaken: when another launch reports for the same place.
            LookupError: for a place that there is not.
        """
        with self._lock:
            known, now = self._reports[report.index], self._clock()
            if known is not None and known.launch != report.launch:
                raise PlaceTaken(f"place {report.index} of {len(self._reports)} hosts is taken")
            facts = report.facts or (known.facts if known else None)
            self._reports[report.index] = replace(report, facts=facts)
            self._heard[report.index] = now
            if report.ending is not None and self._failed is None:
                self._failed = (now, report.ending)
            self._judge(now)
            self._told[report.index] |= self._ending is not None
            return self._state()

    def facts(self) -> list[HostFacts | None]:
        """Return what is known of each host, in order; `None` for one that has not come."""
        with self._lock:
            return [report.facts if report else None for report in self._reports]

    def problems(self) -> tuple[Problem, ...]:
        """Return what keeps hosts from starting."""
        with self._lock:
            return tuple(problem for report in self._reports if report for problem in report.problems)

    def all_know(self) -> bool:
        """Return whether every host that came has heard how the run ends, or has ended, or is lost."""
        with self._lock:
            now = self._clock()
            return all(
                report is None or report.stage == Stage.ENDED or told or now - heard > SILENT_S
                for report, told, heard in zip(self._reports, self._told, self._heard, strict=True)
            )

    def _judge(self, now: float) -> None:
        if self._ending is not None:
            return
        present = [place for place, report in enumerate(self._reports) if report and report.stage < Stage.ENDED]
        silent = [place for place in present if now - self._heard[place] > SILENT_S]
        if silent:
            report = self._reports[silent[0]]
            assert report is not None
            name = report.facts.name if report.facts else f"with NODE_RANK={silent[0]}"
            self._ending = replace(lost(name, SILENT_S), fatal=report.runs)
        elif self._failed is not None and all(self._heard[place] >= self._failed[0] for place in present):
            self._ending = self._failed[1]

    def _state(self) -> State:
        stages = tuple(report.stage if report else Stage.COMING for report in self._reports)
        running = [report for report in self._reports if report and report.runs]
        ended = bool(running) and all(report.status is not None for report in running)
        asked = [report.request for report in self._reports if report and report.request is not None]
        first = self._reports[0]
        return State(
            stages=stages,
            ending=self._ending,
            request=asked[0] if asked else None,
            done=bool(running) and min(report.stage for report in running) >= Stage.DONE,
            status=running[0].status if ended else None,
            settled=first.settled if first else None,
        )


def read_report(value: Mapping[str, Any]) -> Report:
    """Return the report that JSON describes.

    Raises:
        TypeError, ValueError, LookupError: for anything else.
    """
    facts, ending = value["facts"], value["ending"]
    parts = {
        "stage": Stage(value["stage"]),
        "facts": HostFacts(**facts) if facts else None,
        "problems": tuple(Problem(**entry) for entry in value["problems"]),
        "ending": RunEnding(**ending) if ending else None,
    }
    return Report(**{**value, **parts})


def read_state(value: Mapping[str, Any]) -> State:
    """Return the state that JSON describes."""
    ending = value["ending"]
    parts = {
        "stages": tuple(Stage(stage) for stage in value["stages"]),
        "ending": RunEnding(**ending) if ending else None,
    }
    return State(**{**value, **parts})
