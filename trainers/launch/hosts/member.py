"""One host's end of a meeting: it reports again and again, and hears how far the others are and how the run ends."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from types import TracebackType
from typing import Any

import httpx

from trainers.launch.hosts.endings import HOST_LOST, EndedElsewhere, RunEnding, lost
from trainers.launch.hosts.facts import HostFacts
from trainers.launch.hosts.meeting import BEAT_S, SILENT_S, Report, Stage, State, read_state
from trainers.launch.hosts.meeting_point import FACTS, OCCUPIED, REPORTS
from trainers.problems import ConfigurationError, Problem
from trainers.serving.run_token import REFUSED, authorization

LOOK_EVERY_S = 0.2
TOLD_EVERY_S = 15.0
CALL_S = 5.0
"""Most seconds that a report may take."""
logger = logging.getLogger("launch")


class HostMember:
    """A host that takes part in a meeting. A context manager: within it the host reports from a thread.

    Args:
        index: its place.
        first: name of the first host.
        url: of the meeting point.
        launch: tells this launch of the host from another one.
    """

    def __init__(self, index: int, first: str, url: str, launch: str) -> None:
        self.index = index
        self._first = first
        # There are no certificates in plain http, and no proxy stands between hosts of a run.
        self._client = httpx.Client(
            base_url=url, timeout=CALL_S, trust_env=False, verify=False, headers=authorization()
        )
        self._lock = threading.Condition()
        self._calling = threading.Lock()
        self._report = Report(index, launch)
        self._state: State | None = None
        self._heard = time.monotonic()
        self._left = threading.Event()
        self._now = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> HostMember:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left.set()
        self._now.set()
        self._thread.join(2 * CALL_S)
        # What was told last must have arrived.
        self.call()
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def call(self) -> int | None:
        """Report once; return the status of the answer, `None` when there was none."""
        try:
            # One after the other: an older report must not arrive after a newer one.
            with self._calling:
                answer = self._client.post(REPORTS, json=asdict(self._report))
            state = read_state(answer.json()) if answer.status_code == httpx.codes.OK else None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError):
            return None
        with self._lock:
            if state is not None:
                self._state, self._heard = state, time.monotonic()
            self._lock.notify_all()
        return answer.status_code

    def tell(self, **changes: Any) -> None:
        """Report something new, at once."""
        with self._lock:
            self._report = replace(self._report, **changes)
        self._now.set()

    def told(self) -> Report:
        """Return what this host reports."""
        return self._report

    def state(self) -> State:
        """Return what was heard last, with the first host's own silence as an ending."""
        with self._lock:
            state = self._state
            silent_s = time.monotonic() - self._heard
        if state is None:
            state = State((Stage.COMING,) * (self.index + 1))
        if state.ending is None and silent_s > SILENT_S:
            return replace(state, ending=lost(self._first, SILENT_S))
        return state

    def look(self) -> State:
        """Return the state.

        Raises:
            EndedElsewhere: when the run ends.
        """
        state = self.state()
        if state.ending is not None:
            raise EndedElsewhere(state.ending)
        return state

    def until(
        self, condition: Callable[[State], bool], what: str, meanwhile: Callable[[], None] = lambda: None
    ) -> State:
        """Wait until a state meets a condition; say what is waited for now and then.

        Raises:
            EndedElsewhere: when the run ends before.
        """
        started = told = time.monotonic()
        while not condition(state := self.look()):
            meanwhile()
            if time.monotonic() - told > TOLD_EVERY_S:
                told = time.monotonic()
                logger.info("waiting for %s (%.0f s)", what, told - started)
            with self._lock:
                self._lock.wait(LOOK_EVERY_S)
        return state

    def facts(self) -> tuple[HostFacts | None, ...]:
        """Return what is known of each host."""
        return tuple(HostFacts(**entry) if entry else None for entry in self._known()["facts"])

    def problems(self) -> tuple[Problem, ...]:
        """Return what keeps hosts from starting."""
        return tuple(Problem(**entry) for entry in self._known()["problems"])

    def _known(self) -> Any:
        try:
            return self._client.get(FACTS).raise_for_status().json()
        except httpx.HTTPError as error:
            raise EndedElsewhere(RunEnding(self._first, f"it does not answer ({error})", HOST_LOST)) from error

    def _beat(self) -> None:
        while not self._left.is_set():
            self._now.clear()
            self.call()
            self._now.wait(BEAT_S)


def refused(status: int | None, url: str, index: int) -> ConfigurationError | None:
    """Return the error for an answer that will not become another; `None` for any other."""
    if status == REFUSED:
        remedy = "export the same ATLAS_RUN_TOKEN on all hosts, or on none"
        return ConfigurationError([Problem(url, f"the first host asks for another token ({REFUSED})", remedy)])
    if status == OCCUPIED:
        remedy = "start the line once on each host, with a NODE_RANK of its own"
        return ConfigurationError([Problem(f"host {index}", "another launch has this place in the run", remedy)])
    return None
