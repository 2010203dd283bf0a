"""A rollout that is given up while it is waited for, because there is no time for it any more."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from trainers.configuration.resume.decision import STOP_ROLLOUT
from trainers.grpo.rollouts import Rollout

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
    """A rollout on its way that is given up while it is waited for, when the file `STOP_ROLLOUT` asks for that.

    Args:
        pending: the rollout.
        output_dir: of the run.
    """

    def __init__(self, pending: PartlyWaited, output_dir: str) -> None:
        self._pending = pending
        self._request = Path(output_dir) / STOP_ROLLOUT

    def result(self) -> Rollout:
        """Wait for the rollout.

        Raises:
            RolloutAbandoned: when it was given up.
        """
        while not self._pending.ended(LOOK_EVERY_S):
            if self._request.exists():
                self._pending.cancel()
                raise RolloutAbandoned(
                    f"gave up a rollout, as {self._request} asks: stopping with the last whole step. "
                    "The same command asks its questions again."
                )
        return self._pending.result()

    def cancel(self) -> None:
        """Give the rollout up, with all its requests."""
        self._pending.cancel()
