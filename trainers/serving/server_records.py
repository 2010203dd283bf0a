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


def records_file(host: str) -> str:
    """Return the name of the file in which one of several hosts of a run writes of its servers.

    Args:
        host: its address.
    """
    return f"servers-{host}.json"


class ServerRecords:
    """Reads what the launcher of a run wrote of its servers; empty where there is no launcher.

    Args:
        output_dir: of the run.
        hosts: addresses of its servers' hosts, where there are several.
    """

    def __init__(self, output_dir: Path, hosts: Collection[str] | None = None) -> None:
        files = [records_file(host) for host in sorted(set(hosts))] if hosts else [SERVERS_FILE]
        self._paths = [output_dir / file for file in files]
        self._written: list[tuple[int, int]] = []
        self._records: dict[str, ServerRecord] = {}

    def now(self) -> Mapping[str, ServerRecord]:
        """Return the records by address, read again only where they were written again."""
        try:
            found = [path.stat() for path in self._paths]
            # Each writing makes another file; the clock of a disk may tick too seldom to tell two apart.
            written = [(file.st_ino, file.st_mtime_ns) for file in found]
            if written != self._written:
                entries = [entry for path in self._paths for entry in json.loads(path.read_bytes())]
                self._records = {entry["url"]: ServerRecord(**entry) for entry in entries}
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


def write_records(output_dir: Path, records: Sequence[ServerRecord], file: str = SERVERS_FILE) -> None:
    """Write the file, by default that of a run on one host.

    Raises:
        OSError: when it cannot be written.
    """
    write_whole(output_dir / file, json.dumps([asdict(record) for record in records], indent=2) + "\n")
