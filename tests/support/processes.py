"""Processes of others, by what they have in their environment."""

from __future__ import annotations

from collections.abc import Mapping

import psutil


def environment_of(process: psutil.Process) -> Mapping[str, str]:
    """Return the environment that a process was started with; nothing where it is gone or not to be read."""
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}
