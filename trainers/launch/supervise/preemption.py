"""Making room for somebody else: the trainer ends its step and saves, and the launch ends with a status of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from trainers.configuration.resume.decision import STOP, STOP_ROLLOUT, is_finished
from trainers.launch.supervise.interruption import PREEMPTED, Request, end_at_once
from trainers.output.checkpoints import newest_whole
from trainers.output.files import told
from trainers.output.lock import is_lost

LOOK_EVERY_S = 0.2
ROLLOUT_SHARE = 0.5
"""Share of the grace after which a rollout that runs is given up, so that the last step can be saved in the rest."""
logger = logging.getLogger("launch")


class RunningTrainer(Protocol):
    """A trainer as far as it is waited for."""

    def status(self, timeout_s: float) -> int | None:
        """Wait for it to end; return its exit status, `None` while it runs."""
        ...


class RunningServer(Protocol):
    """A server as far as it is looked at."""

    def exit_status(self) -> int | None:
        """Return the status with which it ended, `None` while it runs."""
        ...


def make_room(
    output_dir: Path, trainer: RunningTrainer, servers: Sequence[RunningServer], request: Request, grace_s: float
) -> int | None:
    """Have a trainer end its step and save; return its exit status, `None` when its time was up.

    A rollout that runs is given up when half of the grace has passed, or servers end, as they do where a cluster
    sends its signal to every process of a job.

    Args:
        output_dir: of the run.
        trainer: which trains.
        servers: those that it uses.
        request: as it stands; its time is short from the first TERM on.
        grace_s: seconds that the trainer may take from then on.

    Raises:
        Interrupted: at once, where another launch has taken the output directory over.
    """
    assert request.signal is not None
    if is_lost(output_dir):
        end_at_once(request.signal, insisted=True)
    logger.warning("%s: the trainer ends its step and saves; %s", request.signal.name, _terms(request, grace_s))
    asked, gives_up = output_dir / STOP, output_dir / STOP_ROLLOUT
    try:
        with told(asked):
            asked.write_text(f"{request.signal.name} asks for the machine", encoding="utf-8")
        while (status := trainer.status(LOOK_EVERY_S)) is None:
            short = request.urgent_for(time.monotonic())
            if short > grace_s:
                return None
            ended = any(server.exit_status() is not None for server in servers)
            if (ended or short > ROLLOUT_SHARE * grace_s) and not gives_up.exists():
                why = "its servers end" if ended else "the time is short"
                logger.warning("%s: a rollout, if one runs, is given up for a checkpoint of the last step", why)
                with told(gives_up):
                    gives_up.touch()
        return status
    finally:
        for file in (asked, gives_up):
            file.unlink(missing_ok=True)


def made_room(output_dir: Path, status: int | None, grace_s: float) -> int:
    """Say what a launch that was asked to make room leaves; return its exit status, 0 where the run was finished.

    Args:
        output_dir: of the run.
        status: of the trainer, `None` where its time was up.
        grace_s: seconds that it had.
    """
    if status == 0 and is_finished(output_dir):
        logger.info("finished all the same; output is in %s", output_dir)
        return 0
    if status is None:
        logger.error("the trainer did not end within save_grace_s=%g: what it had not saved is lost", grace_s)
    elif status:
        logger.error("the trainer failed with status %d instead of saving", status)
    whole, damaged = newest_whole(output_dir)
    for checkpoint, wrong in damaged.items():
        logger.error("%s is not whole: %s", checkpoint, wrong)
    where = f"continues from {whole}" if whole else "starts anew: there is no whole checkpoint yet"
    logger.info("made room (status %d): the same command %s", PREEMPTED, where)
    return PREEMPTED


def _terms(request: Request, grace_s: float) -> str:
    limit = "until TERM says that time is up" if request.urgent_since is None else f"within save_grace_s={grace_s:g}"
    return f"{limit}; another TERM, or Ctrl-C, ends everything at once"
