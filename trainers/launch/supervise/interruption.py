"""Signals that ask the launcher to end: at once, by an exception, or as soon as its trainer has saved.

Ctrl-C (INT) and a closed terminal (HUP) end a launch at once. TERM and USR1 are what a cluster sends when it needs the
machine: a trainer that can save does so first.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import NoReturn

from trainers.training.requests_heard import note_request

AT_ONCE = (signal.SIGINT, signal.SIGHUP)
MAKE_ROOM = (signal.SIGTERM, signal.SIGUSR1)
SIGNALS = (*AT_ONCE, *MAKE_ROOM)
PREEMPTED = 75
"""Exit status of a launch that made room: `EX_TEMPFAIL` of sysexits.h, try again later."""
ONE_REQUEST_S = 2.0
"""Seconds within which several TERM are one: Slurm sends it to the launcher and to the script that passes it on."""


class Interrupted(BaseException):
    """The launcher was asked to end.

    Args:
        number: the signal.
        insisted: whether it was asked again, and does not wait for the trainer any more.
    """

    def __init__(self, number: int, *, insisted: bool = False) -> None:
        self.number = number
        self.status = PREEMPTED if number in MAKE_ROOM and not insisted else 128 + number
        super().__init__(signal.Signals(number).name)


class Request:
    """A request to make room, as it stands: by which signal, and since when the time is short."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.urgent_since: float | None = None

    @property
    def made(self) -> bool:
        """True once anybody asked."""
        return self.signal is not None

    def note(self, number: int, now: float) -> bool:
        """Take note of a signal; return whether it insists on an end without waiting.

        USR1 is a warning long before the end. From the first TERM on the time is short, and a second one insists.

        Args:
            number: the signal.
            now: of a monotonic clock, in seconds.
        """
        self.signal = self.signal or signal.Signals(number)
        if number != signal.SIGTERM:
            return False
        if self.urgent_since is None:
            self.urgent_since = now
        return now - self.urgent_since > ONE_REQUEST_S

    def urgent_for(self, now: float) -> float:
        """Return for how many seconds the time has been short; 0 while it is not."""
        return 0.0 if self.urgent_since is None else now - self.urgent_since


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` at the first signal within it; later ones do nothing, so that cleaning up is not cut short.

    Signals that are ignored stay ignored: that is how `nohup` keeps a run alive.
    """
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferring() -> Iterator[Request]:
    """Take note of TERM and USR1 within it instead of raising, unless one insists."""
    request = Request()

    def note(number: int, _: FrameType | None) -> None:
        if request.note(number, time.monotonic()):
            end_at_once(number, insisted=True)

    heard = [number for number in MAKE_ROOM if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in heard}
    try:
        yield request
    finally:
        for number, handler in before.items():
            # One that raised has had all of them ignored meanwhile.
            if signal.getsignal(number) is note:
                signal.signal(number, handler)


def outlast_requests() -> None:
    """Let the launcher alone decide what TERM and USR1 mean: Slurm sends them to every process of a job.

    That they came is noted, as they have ended what this process started.
    Processes that this one starts or forks end by them as usual.
    """
    for number in MAKE_ROOM:
        # Not ignored: a command that is started would inherit that.
        signal.signal(number, lambda *_: note_request())
        os.register_at_fork(after_in_child=partial(signal.signal, number, signal.SIG_DFL))


def _interrupt(number: int, _: FrameType | None) -> None:
    end_at_once(number)


def end_at_once(number: int, *, insisted: bool = False) -> NoReturn:
    """Raise `Interrupted`, and have later signals do nothing, so that cleaning up is not cut short."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(number, insisted=insisted)
