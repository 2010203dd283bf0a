"""Hosts with networks, host names, processes and boots of their own, joined by a switch, on one machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.support.other_hosts import on_host
from trainers.paths import ROOT

_SUBNET = "10.213.77"


@dataclass(frozen=True)
class Traffic:
    """Bytes that have gone through a host's cable since it was made, with all headers."""

    sent: int
    received: int

    def __sub__(self, earlier: Traffic) -> Traffic:
        """Return what has come since then."""
        return Traffic(self.sent - earlier.sent, self.received - earlier.received)


@dataclass(frozen=True)
class NetworkHost:
    """One host.

    Args:
        name: its host name, which the others know.
        address: that of its only interface, besides a loopback of its own.
        namespace: the name of its network on this machine.
        plug: this machine's end of its cable.
    """

    name: str
    address: str
    namespace: str
    plug: str

    def command(self, *words: str) -> tuple[str, ...]:
        """Return the command that runs another one there, under an `init` that outlives it."""
        return ("ip", "netns", "exec", self.namespace, *on_host(self.name), *words)

    def listens_at(self) -> set[tuple[str, int]]:
        """Return the addresses and ports at which anything listens there."""
        done = _ip("netns", "exec", self.namespace, "ss", "--listening", "--tcp", "--numeric", "--no-header")
        found = (line.split()[3].rsplit(":", 1) for line in done.splitlines())
        return {(address, int(port)) for address, port in found}

    def cut(self) -> None:
        """Pull its cable out."""
        _ip("link", "set", self.plug, "down")

    def mend(self) -> None:
        """Put its cable in again."""
        _ip("link", "set", self.plug, "up")

    def traffic(self) -> Traffic:
        """Return what has gone through its cable; what the host sends is received here."""
        counted = Path("/sys/class/net") / self.plug / "statistics"
        return Traffic(*(int((counted / name).read_text()) for name in ("rx_bytes", "tx_bytes")))


@contextmanager
def network_hosts(count: int) -> Iterator[list[NetworkHost]]:
    """Make hosts on one switch; what still runs on them afterwards keeps their networks until it ends."""
    if missing := _why_not():
        pytest.skip(f"networks cannot be made here: {missing}")
    tag = f"at{os.getpid()}"
    hosts = [NetworkHost(f"host{i + 1}", f"{_SUBNET}.{i + 1}", f"{tag}-{i}", f"{tag}-{i}") for i in range(count)]
    switch = f"{tag}-s"
    try:
        _ip("link", "add", switch, "type", "bridge")
        _ip("link", "set", switch, "up")
        for host in hosts:
            _connect(host, switch, hosts)
        yield hosts
    finally:
        for host in hosts:
            subprocess.run(["ip", "netns", "delete", host.namespace], capture_output=True, check=False)
            subprocess.run(["ip", "link", "delete", host.plug], capture_output=True, check=False)
            shutil.rmtree(_names(host), ignore_errors=True)
        subprocess.run(["ip", "link", "delete", switch], capture_output=True, check=False)


def _connect(host: NetworkHost, switch: str, hosts: list[NetworkHost]) -> None:
    # `ip netns exec` shows a host these files in place of this machine's.
    _names(host).mkdir(parents=True)
    known = "".join(f"{each.address} {each.name}\n" for each in hosts)
    (_names(host) / "hosts").write_text(f"127.0.0.1 localhost\n{known}")
    _ip("netns", "add", host.namespace)
    _ip("link", "add", host.plug, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
    _ip("link", "set", host.plug, "master", switch, "up")
    for words in (("link", "set", "lo", "up"), ("addr", "add", f"{host.address}/24", "dev", "eth0")):
        _ip("-n", host.namespace, *words)
    _ip("-n", host.namespace, "link", "set", "eth0", "up")


def _names(host: NetworkHost) -> Path:
    return Path("/etc/netns") / host.namespace


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout


@cache
def _why_not() -> str | None:
    """Return what a network of one's own lacks here, by making one; `None` where nothing does."""
    if shutil.which("ip") is None or shutil.which("ss") is None:
        return "that needs ip and ss (iproute2)"
    names = [f"at{os.getpid()}-{end}" for end in "ab"]
    commands = (
        ["ip", "netns", "add", names[0]],
        ["ip", "link", "add", names[0], "type", "veth", "peer", "name", names[1], "netns", names[0]],
        ["ip", "link", "add", names[1], "type", "bridge"],
    )
    try:
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                return f"{' '.join(command)}: {done.stderr.strip()}"
        return None
    finally:
        for kind, name in (("netns", names[0]), ("link", names[0]), ("link", names[1])):
            subprocess.run(["ip", kind, "delete", name], capture_output=True, check=False)


class NetworkRun:
    """One line started on several hosts, which names them.

    Args:
        hosts: of the run.
        command: the line, without the hosts.
        directory: for the hosts' logs.
    """

    def __init__(self, hosts: Sequence[NetworkHost], command: Sequence[str], directory: Path) -> None:
        directory.mkdir(parents=True)
        self.logs = [directory / f"{host.name}.log" for host in hosts]
        self._started: list[subprocess.Popen[bytes]] = []
        for host, path in zip(hosts, self.logs, strict=True):
            line = (*command, "--hosts", ",".join(each.name for each in hosts))
            with path.open("wb") as log:
                started = subprocess.Popen(host.command(*line), cwd=ROOT, stdout=log, stderr=log)
            self._started.append(started)

    def __enter__(self) -> NetworkRun:
        return self

    def __exit__(self, *_: object) -> None:
        for started in self._started:
            started.kill()
            started.wait()

    def wait(self, condition: Callable[[], bool], timeout_s: float = 300) -> None:
        """Wait until a condition holds, while all hosts run."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, self.said()
            assert all(started.poll() is None for started in self._started), self.said()
            time.sleep(0.1)

    def statuses(self, timeout_s: float) -> list[int]:
        """Wait until nothing runs on any host; return the launchers' exit statuses."""
        deadline = time.monotonic() + timeout_s
        try:
            return [started.wait(max(0, deadline - time.monotonic())) for started in self._started]
        except subprocess.TimeoutExpired as error:
            raise AssertionError(self.said()) from error

    def last_lines(self) -> list[str]:
        """Return the last line of each host."""
        return [path.read_text(errors="replace").strip().splitlines()[-1] for path in self.logs]

    def said(self) -> str:
        """Return the end of what each host has said."""
        return "\n\n".join(path.read_text(errors="replace")[-3000:] for path in self.logs)
