"""The launcher's knowledge of its servers, in a file of the output directory, for whoever asks them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from trainers.concurrency.deadlines import SERVER_START_S
from trainers.output.files import write_whole

SERVERS_FILE = "servers.json"
NOTICED_S = 60.0
"""Seconds until a server that does not answer is restarted."""
State = Literal["starting", "up", "restarting", "gone", "stopped"]
RETURN_S = SERVER_START_S + NOTICED_S
"""Seconds after which a server that is to come back counts as gone, unless its start may take another time."""


@dataclass(frozen=True)
class ServerRecord:
    """One server: where it listens, the head of its processes, how it is, and how often it was restarted."""

    name: str
    role: str
    model: str
    url: str
    pid: int | None
    state: State
    restarts: int = 0


class ServerRecords:
    """Reads what the launcher of a run wrote of its servers; empty where there is no launcher.

    Args:
        output_dir: of the run.
    """

    def __init__(self, output_dir: Path) -> None:
        self._path = output_dir / SERVERS_FILE
        self._written = (0, 0)
        self._records: dict[str, ServerRecord] = {}

    def now(self) -> Mapping[str, ServerRecord]:
        """Return the records by address, read again only where they were written again."""
        try:
            found = self._path.stat()
            # Each writing makes another file; the clock of a disk may tick too seldom to tell two apart.
            written = (found.st_ino, found.st_mtime_ns)
            if written != self._written:
                self._records = {entry["url"]: ServerRecord(**entry) for entry in json.loads(self._path.read_bytes())}
                self._written = written
        except (OSError, ValueError, TypeError, LookupError):
            # Of another version, or a launch that is no more: nobody brings those servers back.
            return {}
        return self._records

    def seen(self, urls: Collection[str]) -> dict[str, int]:
        """Return the restarts after which each of some servers is up now; those that are not up are still to have one.

        Servers that nobody watches over are left out.
        """
        records = self.now()
        found = [records[url] for url in urls if url in records]
        return {record.url: record.restarts - (record.state != "up") for record in found}

    def comes_back(self, url: str) -> bool:
        """Return whether the launcher watches over a server: one that does not answer will again."""
        record = self.now().get(url)
        return record is not None and record.state in ("starting", "up", "restarting")

    def came_back(self, seen: Mapping[str, int]) -> bool:
        """Return whether one of some servers is up that was restarted since `seen`."""
        records = self.now()
        return any(
            url in records and records[url].state == "up" and records[url].restarts > restarts
            for url, restarts in seen.items()
        )


def write_records(output_dir: Path, records: Sequence[ServerRecord]) -> None:
    """Write the file.

    Raises:
        OSError: when it cannot be written.
    """
    write_whole(output_dir / SERVERS_FILE, json.dumps([asdict(record) for record in records], indent=2) + "\n")
