"""Starting, watching and stopping `vllm serve` processes: ours, all of them, and nothing else on the machine."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from trainers.concurrency.deadlines import START_S
from trainers.serving.processes.health_watch import HealthWatch
from trainers.serving.processes.readiness import served_models
from trainers.serving.processes.server_command import inherited_environment, server_command
from trainers.serving.server_spec import ServerSpec

logger = logging.getLogger(__name__)

_POLL_INTERVAL_S = 0.2
_LOG_TAIL_LINES = 20
# What would push the reason out of a log's tail: chatter that vLLM and its libraries print at every start and exit,
# and the frames of tracebacks, of which the last lines matter.
_LOG_NOISE = re.compile(r"nanobind| - leaked | - \.\.\. skipped|Route: |resource_tracker|\[shutdown\]|warnings\.warn")
_LOG_PREFIX = re.compile(r"^\(\w+ pid=\d+\) (\w+ \d\d-\d\d [\d:]+ \[[^]]*\] )?")
_TRACEBACK_FRAME = re.compile(r"  +(File |\S)")


_ENGINE_DIED = re.compile(r"EngineDeadError|engine core exited unexpectedly")
_LOG_END_BYTES = 2**16
_SIGNALLED = 128


class ServerError(RuntimeError):
    """A server could not be started, or ended while it was needed. The message says which one, why, and what helps."""


def unavailable_ports(specs: Iterable[ServerSpec]) -> list[ServerSpec]:
    """Return the specs whose address cannot be had, mostly because something else already listens on it."""
    return [spec for spec in specs if _refused(spec) is not None]


def is_elsewhere(spec: ServerSpec) -> bool:
    """Return whether a spec's host is no address of this machine, so that no server can be started there."""
    error = _refused(spec)
    return isinstance(error, socket.gaierror) or (error is not None and error.errno == errno.EADDRNOTAVAIL)


def log_tail(path: Path, lines: int = _LOG_TAIL_LINES) -> str:
    """Return the last `lines` lines of a log that say something; empty when there is no log."""
    if not path.exists():
        return ""
    with path.open(errors="replace") as file:
        return "\n".join(deque((line.rstrip() for line in file if _says_something(line)), maxlen=lines))


class Server:
    """One server process with its log, in a process group of its own that ends when this process ends."""

    def __init__(self, spec: ServerSpec, log_path: Path) -> None:
        self.spec = spec
        self.log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_started(self) -> bool:
        """True once `start` was called."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Process id of the server's guard, which is also the id of the process group of everything it started."""
        if self._process is None:
            raise ServerError(f"Server {self.spec.name} has not been started.")
        return self._process.pid

    def start(self) -> None:
        """Start the process; returns at once, long before the server is ready."""
        command = server_command(self.spec)
        logger.info("starting %s: %s on %s", self.spec.name, self.spec.model, self.spec.base_url)
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("wb") as log:
            log.write(f"$ {command}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "trainers.serving.processes.die_with_parent", *command.argv],
                env=inherited_environment(os.environ) | dict(command.env),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def exit_status(self) -> int | None:
        """Return the status with which the process ended, `None` while it runs, and end what it left behind."""
        if self._process is None:
            return None
        if self._process.returncode is None and _has_exited(self._process.pid):
            self.kill()
        return self._process.returncode

    def is_ready(self) -> bool:
        """Return whether the server is healthy and lists its model."""
        return self.spec.model in (served_models(self.spec.base_url) or ())

    def error(self, what: str) -> ServerError:
        """Return the error that says what happened to this server and shows the end of its log."""
        tail = log_tail(self.log_path) or "(the log is empty)"
        return ServerError(
            f"Server {self.spec.name} (model {self.spec.model}, {self.spec.base_url}) {what}. "
            f"The end of its log {self.log_path}:\n{tail}"
        )

    def terminate(self) -> None:
        """Ask everything in the server's process group to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End what is left of the server's process group, and collect its status."""
        if self._process is None or self._process.returncode is not None:
            return
        self._signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _signal(self, number: signal.Signals) -> None:
        # Only before the status is collected: until then nobody else can be given this group's id.
        if self._process is not None and self._process.returncode is None:
            os.killpg(self._process.pid, number)


class ServerGroup:
    """All servers of a run. A context manager: they are ready inside it, and gone after it whatever happened.

    `output_dir/servers/{role}-{i}.log` receives their output and `output_dir/servers.json` says where they listen.
    Every `told_every_s` seconds the log says which ones are waited for.

    Args:
        specs: the servers.
        output_dir: of the run.
        spared: whether all the servers that have ended, once all were up, can be done without.
        start_timeout_s: seconds in which they must be ready.
        told_every_s: seconds between two words on which servers are waited for.
    """

    def __init__(
        self,
        specs: Sequence[ServerSpec],
        output_dir: Path,
        spared: Callable[[Sequence[ServerSpec]], bool] = lambda _: False,
        *,
        start_timeout_s: float = START_S,
        told_every_s: float = 5.0,
    ) -> None:
        self.specs = tuple(specs)
        self._output_dir = output_dir
        self._spared = spared
        self._start_timeout_s = start_timeout_s
        self._told_every_s = told_every_s
        self._told: list[Server] = []
        self._up = False
        self._health: HealthWatch | None = None
        self.servers = tuple(Server(spec, output_dir / "servers" / f"{spec.name}.log") for spec in specs)

    def __enter__(self) -> ServerGroup:
        self.start()
        self._health = HealthWatch(self.servers).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start every server and wait until all are ready; servers that share a GPU start one after the other.

        Raises:
            ServerError: when a port is taken, a server ends, or one is not ready in time. Nothing is left running.
        """
        self._check_ports()
        try:
            for wave in start_waves(self.specs):
                servers = [server for server in self.servers if server.spec in wave]
                for server in servers:
                    server.start()
                self._write_addresses()
                self._wait_until_ready(servers)
            self._up = True
        except BaseException:
            self.stop()
            raise

    def poll(self) -> None:
        """Check that every server still runs, and, once all have started, works; one that is spared is told once.

        Raises:
            ServerError: naming the first one that ended and is not spared, with the end of its log, or one that hangs,
                which is killed: whoever waits for it would do so until a deadline.
        """
        for server in self.servers:
            status = server.exit_status()
            if status is not None and server not in self._told:
                self._lose(server, how_it_ended(status, _end_of(server.log_path)))
        told = [number for number, server in enumerate(self.servers) if server in self._told]
        hung = self._health.hung(but=told) if self._health is not None else None
        if hung is not None:
            number, trouble = hung
            self.servers[number].kill()
            self._lose(self.servers[number], f"{trouble}; it was killed")

    def _lose(self, server: Server, how: str) -> None:
        """Tell that a server is no more, and that the run goes on without it, if it can."""
        error = server.error(how)
        if not self._up or not self._spared([each.spec for each in self.servers if each.exit_status() is not None]):
            raise error
        self._told.append(server)
        whose = ", ".join(server.spec.students)
        logger.error("%s\nThe run goes on without it: what it does not answer of %s is lost alone", error, whose)

    def stop(self, grace_s: float = 10.0) -> None:
        """End all servers: politely, then, after `grace_s` seconds, for certain. Repeating it does nothing."""
        if self._health is not None:
            self._health.stop()
        running = [server for server in self.servers if server.exit_status() is None]
        for server in running:
            server.terminate()
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and any(server.exit_status() is None for server in running):
            time.sleep(_POLL_INTERVAL_S)
        for server in self.servers:
            server.kill()

    def _check_ports(self) -> None:
        taken = unavailable_ports(self.specs)
        if taken:
            listed = ", ".join(f"{spec.port} (for {spec.name})" for spec in taken)
            raise ServerError(
                f"Port already in use on {taken[0].host}: {listed}. Stop what listens there, or choose another first "
                "port with vllm_port=…; server i listens on vllm_port + i."
            )

    def _write_addresses(self) -> None:
        addresses = [_address(server) for server in self.servers if server.is_started]
        (self._output_dir / "servers.json").write_text(json.dumps(addresses, indent=2) + "\n")

    def _wait_until_ready(self, servers: Sequence[Server]) -> None:
        start = time.monotonic()
        next_progress = start + self._told_every_s
        waiting = list(servers)
        while waiting:
            self.poll()
            for server in [server for server in waiting if server.is_ready()]:
                logger.info("%s is ready after %.0f s", server.spec.name, time.monotonic() - start)
                waiting.remove(server)
            now = time.monotonic()
            if waiting and now - start > self._start_timeout_s:
                raise waiting[0].error(
                    f"was not ready after {self._start_timeout_s:.0f} s (server_start_timeout_s allows more)"
                )
            if waiting and now >= next_progress:
                names = ", ".join(server.spec.name for server in waiting)
                logger.info("waiting for %s (%.0f s)", names, now - start)
                next_progress = now + self._told_every_s
            time.sleep(_POLL_INTERVAL_S if waiting else 0)


def how_it_ended(status: int, log: str) -> str:
    """Return how a server ended, from its status and the end of its log.

    vLLM's front end ends well, by itself, when its engine is killed.
    """
    if _ENGINE_DIED.search(log):
        return f"lost its engine, which was killed or crashed, and ended with status {status}"
    if status > _SIGNALLED:
        return f"was killed by signal {status - _SIGNALLED} and ended with status {status}"
    return f"ended with status {status}" + (", though nobody asked it to" if status == 0 else "")


def _end_of(path: Path) -> str:
    """Return the end of a log as it is: what `log_tail` leaves out as chatter also says that an engine is gone."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LOG_END_BYTES))
        return file.read().decode(errors="replace")


def start_waves(specs: Sequence[ServerSpec]) -> list[list[ServerSpec]]:
    """Return groups of servers that may start at the same time: within one, no GPU is named twice.

    vLLM sizes its cache by the memory it finds free, so that two servers starting on one GPU would miscount.
    """
    waves: list[list[ServerSpec]] = []
    for spec in specs:
        for wave in waves:
            if not any(set(spec.gpus) & set(other.gpus) for other in wave):
                wave.append(spec)
                break
        else:
            waves.append([spec])
    return waves


def _has_exited(pid: int) -> bool:
    """Return whether a child has ended; its status stays to be collected."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _says_something(line: str) -> bool:
    text = _LOG_PREFIX.sub("", line)
    return bool(text.strip()) and not _LOG_NOISE.search(line) and not _TRACEBACK_FRAME.match(text)


def _address(server: Server) -> dict[str, Any]:
    spec = server.spec
    return {"name": spec.name, "role": spec.role, "model": spec.model, "url": spec.base_url, "pid": server.pid}


def _refused(spec: ServerSpec) -> OSError | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((spec.host, spec.port))
        except OSError as error:
            return error
    return None
