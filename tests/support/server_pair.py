"""A pair of real servers, as several tests share one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trainers.serving.processes.server_group import ServerGroup
from trainers.serving.server_spec import ServerSpec


@dataclass(frozen=True)
class ServerPair:
    """The servers; both can receive weights. Whoever changes their weights changes them back."""

    teacher: ServerSpec
    student: ServerSpec
    group: ServerGroup


@contextmanager
def serving_pair(teacher: ServerSpec, student: ServerSpec, logs: Path, start_timeout_s: float) -> Iterator[ServerPair]:
    """Serve both for as long as one is inside."""
    with ServerGroup([teacher, student], logs, start_timeout_s=start_timeout_s) as group:
        yield ServerPair(teacher, student, group)
