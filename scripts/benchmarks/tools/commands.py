"""Commands of a study: what they say goes to a log, and what ends the study ends them."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from trainers.launch.supervise.interruption import Interrupted, interruptible
from trainers.paths import ROOT

logger = logging.getLogger("study")
Stage = tuple[str, Path, list[str]]
"""Name, the file that says it is finished, and command."""


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let a signal end this program in order, with the command that it runs; also a decorator.

    Raises:
        SystemExit: at the first signal, with the status of a launch that it ended.
    """
    try:
        with interruptible():
            yield
    except Interrupted as error:
        raise SystemExit(error.status) from None


def call(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run a command from the project's directory; what it says goes to the end of a log.

    What ends this program ends the command as well, and lets it end what it has started.

    Args:
        command: program and arguments.
        log: a file, made with its directory where there is none.
        environment: variables beside those of this program.

    Raises:
        SystemExit: when it fails.
    """
    logger.info("%s", shlex.join(command))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as said:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | (environment or {}), stdout=said, stderr=subprocess.STDOUT
        )
        try:
            status = process.wait()
        finally:
            process.terminate()
            process.wait()
    if status != 0:
        raise SystemExit(f"status {status}: see {log}; the same command goes on from here")


def slug(name: str) -> str:
    """Return a name without what a file's name should not have: commas and spaces."""
    return name.replace(",", "").replace(" ", "_")


def run_stage(stage: Stage, directory: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run a stage of one seed, unless it is finished; what it says goes to `DIRECTORY/log/NAME.log`.

    Args:
        stage: what to run.
        directory: of the seed, named by it.
        environment: variables beside those of this program.

    Raises:
        SystemExit: when it fails.
    """
    name, product, command = stage
    if product.is_file():
        logger.info("seed %s: %s is finished", directory.name, name)
        return
    logger.info("seed %s: %s", directory.name, name)
    start = time.perf_counter()
    call(command, directory / "log" / f"{slug(name)}.log", environment)
    logger.info("seed %s: %s took %.0f s", directory.name, name, time.perf_counter() - start)
