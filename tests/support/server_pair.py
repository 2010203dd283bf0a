"""The pair of real servers that a session of tests shares."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.serving.processes.server_group import ServerGroup
from trainers.serving.server_spec import ServerSpec


@dataclass(frozen=True)
class ServerPair:
    """The session's servers; both can receive weights. Whoever changes their weights changes them back."""

    teacher: ServerSpec
    student: ServerSpec
    group: ServerGroup
