"""A rollout that is given up because a run is to stop: there is no time for it any more, or its servers end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from trainers.configuration.resume.decision import STOP, STOP_ROLLOUT
from trainers.grpo.rollouts import Rollout
from trainers.training.requests_heard import request_heard

LOOK_EVERY_S = 0.5
"""Seconds between two looks for a request, while a rollout is waited for."""


class RolloutAbandoned(Exception):
    """A rollout was given up on request; the message says what becomes of the run."""


class PartlyWaited(Protocol):
    """A rollout on its way that can be waited for by the piece."""

    def ended(self, timeout_s: float) -> bool:
        """Wait for it for a while; return whether it has ended."""
        ...

    def result(self) -> Rollout:
        """Return it."""
        ...

    def cancel(self) -> None:
        """Give it up."""
        ...


class Abandonable:
    """A rollout on its way that is given up when the run is to stop and cannot have it whole.

    While it is waited for, the file `STOP_ROLLOUT` asks for that. A cluster sends its signal to servers too: what they
    did not answer any more is nobody's failure, and a step without it would not be the step of the undisturbed run.

    Args:
        pending: the rollout.
        output_dir: of the run.
        stopping: whether the trainer has found that it is to stop; else `asked_to_end` says so.
    """

    def __init__(self, pending: PartlyWaited, output_dir: str, stopping: Callable[[], bool]) -> None:
        self._pending = pending
        self._output_dir, self._request = output_dir, Path(output_dir) / STOP_ROLLOUT
        self._stopping = stopping

    def result(self) -> Rollout:
        """Wait for the rollout.

        Raises:
            RolloutAbandoned: when it was given up.
        """
        while not self._pending.ended(LOOK_EVERY_S):
            if self._request.exists():
                self._pending.cancel()
                raise _given_up(f"as {self._request} asks")
        rollout = self._pending.result()
        if rollout.failures and (self._stopping() or asked_to_end(self._output_dir)):
            raise _given_up(f"whose servers end as well ({rollout.failures} failures in it)")
        return rollout

    def cancel(self) -> None:
        """Give the rollout up, with all its requests."""
        self._pending.cancel()


def asked_to_end(output_dir: str) -> bool:
    """Return whether a run was asked to end, by a file or by a signal to this process that came before the file.

    Its servers may then be gone, and nobody starts them again.
    """
    return request_heard() or any((Path(output_dir) / file).exists() for file in (STOP, STOP_ROLLOUT))


def _given_up(why: str) -> RolloutAbandoned:
    return RolloutAbandoned(
        f"gave up a rollout, {why}: stopping with the last whole step. The same command asks its questions again."
    )
