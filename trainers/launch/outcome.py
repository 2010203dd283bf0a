"""The exit statuses of a launch that did not come to its end, and what is said of it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from trainers.configuration.devices.machine import detect
from trainers.launch.end_record import record_end
from trainers.launch.supervise.failure_hints import server_hints
from trainers.launch.supervise.interruption import PREEMPTED, Interrupted
from trainers.output.files import FULL, cannot_write
from trainers.problems import ConfigurationError
from trainers.serving.processes.server_group import ServerError

USER_ERROR = 2
"""Exit status for a mistake of the user."""
SERVER_ERROR = 3
"""Exit status for a server that failed."""
DISK_ERROR = 5
"""Exit status for a disk that takes no more."""
logger = logging.getLogger("launch")


def told_end(error: BaseException) -> int:
    """Say what ended a launch; return its exit status. What nobody foresaw is raised again."""
    if isinstance(error, ConfigurationError):
        sys.stderr.write(f"{error}\n")
        record_end(USER_ERROR, "; ".join(map(str, error.problems)))
        return USER_ERROR
    if isinstance(error, ServerError):
        logger.error("%s", error)
        record_end(SERVER_ERROR, error.why, error.log)
        for hint in server_hints(str(error), on_cpu=detect().cpu_only):
            logger.error("%s", hint)
        return SERVER_ERROR
    if isinstance(error, Interrupted):
        continues = ": the same command continues" if error.status == PREEMPTED else ""
        logger.info("stopped by %s (status %d)%s", error, error.status, continues)
        record_end(error.status, f"stopped by {error}")
        return error.status
    if not isinstance(error, OSError) or error.errno not in FULL:
        raise error
    full = cannot_write(Path(error.filename or "the output directory"), error)
    logger.error("%s", full)
    record_end(DISK_ERROR, full)
    return DISK_ERROR
