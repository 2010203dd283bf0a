"""A lock on an output directory: one launch at a time writes there, on this host or on another that shares the disk.

The lock is a file with a record of its holder. A holder on this host is alive as long as its process is, or anything
that it started; one on another host as long as it touches the file. A launcher hands its lock to its processes by the
environment.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import secrets
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from trainers.problems import ConfigurationError, Problem

LOCK = "run.lock"
"""The file in the output directory."""
HELD_BY = "ATLAS_OUTPUT_LOCK"
"""Environment variable with the token of the lock that this process and its children work under."""
HEARTBEAT_S = 15.0
STALE_AFTER_S = 180.0
"""Seconds without a heartbeat after which a holder that cannot be looked at, on another host, counts as gone."""
DECIDING_S = 1.0
"""Most seconds to wait for another launch that is just deciding about the same lock."""
REQUEUED = "SLURM_RESTART_COUNT"
"""Environment variable of a job that Slurm has started again, perhaps on another host than before."""
ENDING_S = 30.0
"""Most seconds to wait for the processes of a launch that was killed; their guards end them meanwhile."""
_POLL_S = 0.25
_ROOM = "free some space, or choose another output_dir"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """A launch that holds a lock.

    Args:
        pid: its process, in `place`.
        started: when that process started, in clock ticks since the host booted: ids of processes are used again.
        place: boot of the host and namespace of process ids; only within it processes can be looked at.
        host: name of the host.
        since: local time.
        token: tells this holder from all others.
    """

    pid: int
    started: int
    place: str
    host: str
    since: str
    token: str

    def __str__(self) -> str:
        """Return the holder as a person would look for it."""
        return f"pid {self.pid} on host {self.host}, since {self.since}"


def this_process() -> Holder:
    """Return this process as a holder, with a new token."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    pid, since = os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S")
    place = f"{boot} {Path('/proc/self/ns/pid').stat().st_ino}"
    return Holder(pid, _start_of(pid) or 0, place, socket.gethostname(), since, secrets.token_hex(8))


def is_gone(holder: Holder, place: str, silent_s: float) -> bool:
    """Return whether a holder has ended.

    Args:
        holder: of the lock.
        place: `Holder.place` of the process that asks.
        silent_s: seconds since the holder's last heartbeat.
    """
    if holder.place == place:
        return _start_of(holder.pid) != holder.started
    return silent_s > STALE_AFTER_S


@contextmanager
def locked(output_dir: str | Path) -> Iterator[None]:
    """Hold the lock on an output directory, which is made if it is not there.

    Processes of a launch that holds it are let in. A directory that cannot be written to is not locked: nothing can be
    lost there.

    Raises:
        ConfigurationError: when another launch holds it, with its pid and host.
    """
    directory = Path(output_dir).absolute()
    holder = _read(directory / LOCK)
    if holder is not None and holder.token == os.environ.get(HELD_BY):
        yield
        return
    made = not directory.exists()
    mine = this_process()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        taken = _take(directory, mine)
    except (PermissionError, FileExistsError, NotADirectoryError):
        taken = False
    except OSError as error:
        if not _read_only(error):
            raise ConfigurationError(
                [Problem(f"output_dir={output_dir}", f"{error.strerror}: {error.filename}", _ROOM)]
            ) from None
        taken = False
    if not taken:
        yield
        return
    before = os.environ.get(HELD_BY)
    os.environ[HELD_BY] = mine.token
    ended = threading.Event()
    threading.Thread(target=_stay_alive, args=(directory / LOCK, mine, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        if before is None:
            os.environ.pop(HELD_BY, None)
        else:
            os.environ[HELD_BY] = before
        _let_go(directory, mine, made)


@contextmanager
def under_lock_of(output_dir: str | Path) -> Iterator[None]:
    """Work under the lock that another host of the same run holds; its processes are let in here, too."""
    holder, before = _read(Path(output_dir).absolute() / LOCK), os.environ.get(HELD_BY)
    if holder is not None:
        os.environ[HELD_BY] = holder.token
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(HELD_BY, None)
        else:
            os.environ[HELD_BY] = before


def patience_s() -> float:
    """Return how long a launch that was started again waits for the lock of a host that may be lost, in seconds."""
    return (STALE_AFTER_S + HEARTBEAT_S) * (os.environ.get(REQUEUED, "0") != "0")


def is_lost(output_dir: str | Path) -> bool:
    """Return whether somebody else has taken over the lock that this process works under."""
    mine, holder = os.environ.get(HELD_BY), _read(Path(output_dir).absolute() / LOCK)
    return mine is not None and holder is not None and holder.token != mine


def is_locked(output_dir: str | Path) -> bool:
    """Return whether a launch that still lives holds the lock on an output directory."""
    directory = Path(output_dir).absolute()
    try:
        with (directory / LOCK).open("rb") as file:
            holder = _parsed(file.read())
            return holder is not None and not is_gone(holder, this_process().place, _silence(directory, file.fileno()))
    except OSError:
        return False


def _take(directory: Path, mine: Holder) -> bool:
    """Write our record into the lock.

    Raises:
        ConfigurationError: when another holder has it.
    """
    now = time.monotonic()
    deadline = now + ENDING_S
    # Slurm starts a job again when its node is lost, whose lock looks alive for a while.
    patience = now + patience_s()
    told = False
    while True:
        with _decision(directory / LOCK) as file:
            holder = _parsed(os.pread(file, 4096, 0))
            if holder is None or is_gone(holder, mine.place, _silence(directory, file)):
                left = [] if holder is None else _left_of(holder)
                if not left:
                    _write(file, mine)
                    return True
                waited_for = f"the processes of a launch that was killed: {left}"
                if time.monotonic() > deadline:
                    raise _refused(
                        directory, f"processes of a launch that was killed still run: {left}", f"kill {left}"
                    )
            elif holder.place != mine.place and time.monotonic() < patience:
                waited_for = f"{holder}, which may be this job before it was queued again, to fall silent"
            else:
                remedy = f"choose another output_dir, or stop that launch; if it is gone for good, delete {LOCK} there"
                raise _refused(directory, f"another launch writes there: {holder}", remedy)
        if not told:
            logger.warning("waiting for %s", waited_for)
            told = True
        time.sleep(_POLL_S)


@contextmanager
def _decision(path: Path) -> Iterator[int]:
    """Open the lock's file such that nobody else decides about it at the same time, on file systems that can do that.

    Raises:
        ConfigurationError: when somebody else does for long.
    """
    deadline = time.monotonic() + DECIDING_S
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            free = _flocked(file)
            if free and _still_there(path, file):
                yield file
                return
            if not free and time.monotonic() > deadline:
                holder = _parsed(os.pread(file, 4096, 0))
                raise _refused(path.parent, f"another launch is taking it: {holder or 'just now'}", "try again")
        finally:
            os.close(file)
        time.sleep(0.02)


def _flocked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without such locks: the record alone has to do.
        return True
    return True


def _still_there(path: Path, file: int) -> bool:
    """Return whether an open file is the one at a path: whoever held the lock takes its file away when done."""
    try:
        return path.stat().st_ino == os.fstat(file).st_ino
    except FileNotFoundError:
        return False


def _refused(directory: Path, expected: str, remedy: str) -> ConfigurationError:
    return ConfigurationError([Problem(f"output_dir={directory}", expected, remedy)])


def _write(file: int, holder: Holder) -> None:
    data = json.dumps(asdict(holder)).encode()
    os.ftruncate(file, 0)
    os.pwrite(file, data, 0)
    os.fsync(file)


def _read(path: Path) -> Holder | None:
    try:
        return _parsed(path.read_bytes())
    except OSError:
        return None


def _parsed(data: bytes) -> Holder | None:
    try:
        return Holder(**json.loads(data))
    except (ValueError, TypeError):
        return None


def _silence(directory: Path, file: int) -> float:
    """Return the seconds since the lock was touched, by the clock of its file system: hosts' clocks differ."""
    with tempfile.TemporaryFile(dir=directory) as now:
        return os.fstat(now.fileno()).st_mtime - os.fstat(file).st_mtime


def _stay_alive(path: Path, mine: Holder, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_S):
        holder = _read(path)
        if holder is not None and holder.token != mine.token and not ended.is_set():
            logger.error("%s was taken over by %s: this launch ends, so that only one writes there", path, holder)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        with suppress(OSError):
            os.utime(path)


def _let_go(directory: Path, mine: Holder, made: bool) -> None:
    path = directory / LOCK
    with suppress(OSError, ConfigurationError), _decision(path) as file:
        holder = _parsed(os.pread(file, 4096, 0))
        if holder is None or holder.token == mine.token:
            path.unlink(missing_ok=True)
    if made:
        with suppress(OSError):
            directory.rmdir()


def _left_of(holder: Holder) -> list[int]:
    """Return the processes on this host that work under a holder's lock and outlive it."""
    wanted = f"{HELD_BY}={holder.token}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            # Processes end meanwhile, and others' may not be looked at.
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return sorted(found)


def _start_of(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; `None` when there is none, or only its remains."""
    try:
        # The name, in brackets, may hold blanks.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def _read_only(error: OSError) -> bool:
    return error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)
