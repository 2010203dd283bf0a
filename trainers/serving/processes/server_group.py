"""Starting, watching and stopping `vllm serve` processes: ours, all of them, and nothing else on the machine."""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType

from trainers.concurrency.deadlines import SERVER_START_S
from trainers.output.files import told
from trainers.serving.instances import INSTANCE_VARIABLE
from trainers.serving.processes.health_watch import HealthWatch
from trainers.serving.processes.readiness import served_models
from trainers.serving.processes.server_command import inherited_environment, server_command
from trainers.serving.run_token import TokenRefused, own_run_token
from trainers.serving.server_records import SERVERS_FILE, ServerRecord, State, write_records
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
    """A server could not be started, or ended while it was needed. The message says which one, why, and what helps.

    Args:
        why: which one, what happened to it, and what helps, in one sentence or several.
        log: the file that says more, where there is one.
        log_end: of that file, shown behind the reason.

    Attributes:
        why: the message without the end of the log.
        log: the file.
    """

    def __init__(self, why: str, log: Path | None = None, log_end: str = "") -> None:
        super().__init__(why if log is None else f"{why} The end of its log {log}:\n{log_end}")
        self.why = why
        self.log = log


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
    """One server process with its log, in a process group of its own that ends when this process ends.

    `state` is its group's to keep; `restarts` counts the starts after the first.
    """

    def __init__(self, spec: ServerSpec, log_path: Path) -> None:
        self.spec = spec
        self.log_path = log_path
        self.state: State = "starting"
        self.restarts = 0
        self._began = 0.0
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

    @property
    def record(self) -> ServerRecord:
        """The record of it that others may read."""
        spec, pid = self.spec, self.pid if self.is_started else None
        return ServerRecord(spec.name, spec.role, spec.model, spec.base_url, pid, self.state, self.restarts)

    @property
    def age_s(self) -> float:
        """Seconds since it was started last."""
        return time.monotonic() - self._began

    def restart(self) -> None:
        """Start it once more, as before, when it has ended; the log of the start before is kept beside the new one."""
        self.kill()
        with told(self.log_path):
            self.log_path.replace(self.log_path.with_suffix(f".before-restart-{self.restarts + 1}.log"))
        self.restarts += 1
        self.start()

    def start(self) -> None:
        """Start the process; returns at once, long before the server is ready."""
        self._began = time.monotonic()
        command = server_command(self.spec)
        logger.info("starting %s: %s on %s", self.spec.name, self.spec.model, self.spec.base_url)
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("wb") as log:
            log.write(f"$ {command}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "trainers.serving.processes.die_with_parent", *command.argv],
                env=inherited_environment(os.environ) | {INSTANCE_VARIABLE: secrets.token_hex(8), **command.env},
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
        """Return whether the server is healthy and lists its model.

        Raises:
            ServerError: when what answers there does not know the run's token.
        """
        try:
            return self.spec.model in (served_models(self.spec.base_url) or ())
        except TokenRefused as refused:
            raise self.error(f"is not what answers there: {refused}") from refused

    def error(self, what: str) -> ServerError:
        """Return the error that says what happened to this server and shows the end of its log."""
        tail = log_tail(self.log_path) or "(the log is empty)"
        return ServerError(
            f"Server {self.spec.name} (model {self.spec.model}, {self.spec.base_url}) {what}.", self.log_path, tail
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
    Every `told_every_s` seconds the log says which ones are waited for. Once all were up, `poll` restarts what ends.
    They ask for the token of the run, which this process and those that it starts have in their environment from then
    on.

    Args:
        specs: the servers.
        output_dir: of the run.
        spared: whether all the servers that have ended, once all were up, can be done without.
        max_restarts: of each server.
        start_timeout_s: seconds in which they must be ready.
        told_every_s: seconds between two words on which servers are waited for.
        records_file: name of the file that says where they listen.
    """

    def __init__(
        self,
        specs: Sequence[ServerSpec],
        output_dir: Path,
        spared: Callable[[Sequence[ServerSpec]], bool] = lambda _: False,
        *,
        max_restarts: int = 0,
        start_timeout_s: float = SERVER_START_S,
        told_every_s: float = 5.0,
        records_file: str = SERVERS_FILE,
    ) -> None:
        self.specs = tuple(specs)
        self._output_dir = output_dir
        self._spared = spared
        self._start_timeout_s = start_timeout_s
        self._told_every_s = told_every_s
        self._records_file = records_file
        self._max_restarts = max_restarts
        self._waiting: list[Server] = []  # for another that starts on the same GPU
        self._losses: dict[Server, ServerError] = {}
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
        own_run_token()
        try:
            for wave in start_waves(self.specs):
                servers = [server for server in self.servers if server.spec in wave]
                for server in servers:
                    server.start()
                self._write_records()
                self._wait_until_ready(servers)
            self._up = True
        except BaseException:
            self.stop()
            raise

    def poll(self) -> None:
        """Check that every server still runs, and, once all have started, works.

        One that does not is restarted as long as it may be; then it is told once, if it is spared. One that hangs is
        killed first: whoever waits for it would do so until a deadline.

        Raises:
            ServerError: naming the first one that ended and is neither restarted nor spared, with the end of its log.
        """
        for server in self.servers:
            if server.state == "restarting":
                self._attend(server)
            elif server.state != "gone" and (how := _end(server)) is not None:
                self._lose(server, how)
        unwatched = [number for number, server in enumerate(self.servers) if server.state in ("restarting", "gone")]
        hung = self._health.hung(but=unwatched) if self._health is not None else None
        if hung is not None:
            number, trouble = hung
            self.servers[number].kill()
            self._lose(self.servers[number], f"{trouble}; it was killed")

    def in_use(self) -> tuple[Server, ...]:
        """Return the servers that run, as far as `poll` knows; one that has just ended is among them."""
        return tuple(
            server for server in self.servers if server.state in ("up", "restarting") and server not in self._waiting
        )

    def check(self) -> None:
        """Look why a trainer has failed beside these servers; nothing is restarted any more.

        Raises:
            ServerError: naming one that is not there, and not spared.
        """
        for server in self.servers:
            how = _end(server) if server.state == "up" else None
            error = self._losses.get(server) if how is None else server.error(how)
            if error is not None and not self._spares(server):
                raise error

    def _lose(self, server: Server, how: str) -> None:
        """Restart a server that is no more, or tell that the run goes on without it, if it can."""
        error = self._losses[server] = server.error(how)
        if self._up and server.restarts < self._max_restarts:
            logger.error("%s\nIt is restarted: %d of at most %d times", error, server.restarts + 1, self._max_restarts)
            self._enter(server, "restarting")
            self._waiting.append(server)
            self._attend(server)
            return
        self._enter(server, "gone")
        if not self._up or not self._spares(server):
            raise error
        whose = ", ".join(server.spec.students)
        logger.error("%s\nThe run goes on without it: what it does not answer of %s is lost alone", error, whose)

    def _attend(self, server: Server) -> None:
        """Take a server that is being restarted a step further."""
        if self._health is not None:
            self._health.excuse(self.servers.index(server))
        if server in self._waiting:
            starting = [each for each in self.servers if each.state == "restarting" and each not in self._waiting]
            if not any(set(each.spec.gpus) & set(server.spec.gpus) for each in starting):
                self._waiting.remove(server)
                server.restart()
                self._write_records()
        elif (how := _end(server)) is not None:
            self._lose(server, f"{how} while it was restarted")
        elif server.is_ready():
            logger.warning("%s is up again after %.0f s", server.spec.name, server.age_s)
            self._losses.pop(server, None)
            self._enter(server, "up")
        elif server.age_s > self._start_timeout_s:
            server.kill()
            self._lose(server, f"was not ready {self._start_timeout_s:.0f} s after it was restarted")

    def _enter(self, server: Server, state: State) -> None:
        server.state = state
        self._write_records()

    def _spares(self, lost: Server) -> bool:
        return self._spared([each.spec for each in self.servers if each is lost or each.state == "gone"])

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
            server.state = "stopped"
        if any(server.is_started for server in self.servers):
            self._write_records()

    def _check_ports(self) -> None:
        taken = unavailable_ports(self.specs)
        if taken:
            listed = ", ".join(f"{spec.port} (for {spec.name})" for spec in taken)
            raise ServerError(
                f"Port already in use on {taken[0].host}: {listed}. Stop what listens there, or choose another first "
                "port with vllm_port=…; server i listens on vllm_port + i."
            )

    def _write_records(self) -> None:
        with told(self._output_dir / self._records_file):
            started = [server.record for server in self.servers if server.is_started]
            write_records(self._output_dir, started, self._records_file)

    def _wait_until_ready(self, servers: Sequence[Server]) -> None:
        start = time.monotonic()
        next_progress = start + self._told_every_s
        waiting = list(servers)
        while waiting:
            self.poll()
            for server in [server for server in waiting if server.is_ready()]:
                logger.info("%s is ready after %.0f s", server.spec.name, time.monotonic() - start)
                waiting.remove(server)
                self._enter(server, "up")
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


def _end(server: Server) -> str | None:
    """Return how a server ended; `None` while it runs."""
    status = server.exit_status()
    return None if status is None else how_it_ended(status, _end_of(server.log_path))


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


def _refused(spec: ServerSpec) -> OSError | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((spec.host, spec.port))
        except OSError as error:
            return error
    return None
