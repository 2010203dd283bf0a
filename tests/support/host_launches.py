"""A run on several hosts as a test starts it: one launcher for each, at addresses of this machine's loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tests.support.processes import Environments
from trainers.output.lock import HELD_BY
from trainers.paths import ROOT
from trainers.serving.run_token import RUN_TOKEN

RUN = "ATLAS_TEST_HOSTS"
"""Environment variable that tells the processes of one test's run from all others."""
_START = """
import sys
{before}
from trainers.launch import together
from trainers.launch.hosts import meeting, member
meeting.SILENT_S = member.SILENT_S = together.SILENT_S = {silent_s}
together.COMING_S, together.SEEN_S = {coming_s}, {seen_s}
from trainers.launch.__main__ import main
sys.exit(main())
"""


def addresses(number: int) -> list[str]:
    """Return as many addresses of this machine."""
    return [f"127.0.0.{2 + place}" for place in range(number)]


class HostLaunches:
    """The launchers of a run on several hosts.

    Args:
        number: of hosts.
        arguments: of the launcher, without `--hosts`.
        directory: for the hosts' logs.
        port: a free one, on which they meet.
        environment: more variables for all of them.
        silent_s, coming_s, seen_s: seconds, in place of the program's.
        before: code that each launcher runs first.
    """

    def __init__(
        self,
        number: int,
        arguments: Sequence[str],
        directory: Path,
        port: int,
        environment: Mapping[str, str] | None = None,
        silent_s: float = 20.0,
        coming_s: float = 60.0,
        seen_s: float = 10.0,
        before: str = "",
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.logs = [directory / f"host-{place}.log" for place in range(number)]
        self._run = str(directory)
        code = _START.format(silent_s=silent_s, coming_s=coming_s, seen_s=seen_s, before=before)
        self._command = [sys.executable, "-c", code, *arguments, "--hosts", ",".join(addresses(number))]
        inherited = {name: value for name, value in os.environ.items() if name not in (HELD_BY, RUN_TOKEN)}
        paths = os.pathsep.join(filter(None, [(environment or {}).get("PYTHONPATH"), str(ROOT)]))
        ours = {"CUDA_VISIBLE_DEVICES": "", "MASTER_PORT": str(port), RUN: self._run}
        self._environment = {**inherited, **ours, **(environment or {}), "PYTHONPATH": paths}
        self.hosts: dict[int, subprocess.Popen[bytes]] = {}
        self._environments = Environments()

    def start(self, *places: int, more: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> None:
        """Start the launchers of some hosts."""
        for place in places:
            with self.logs[place].open("ab") as log:
                self.hosts[place] = subprocess.Popen(
                    [*self._command, *more],
                    env={**self._environment, "NODE_RANK": str(place), **(environment or {})},
                    stdout=log,
                    stderr=log,
                    cwd=self.logs[place].parent,
                    start_new_session=True,
                    preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in (signal.SIGINT, signal.SIGHUP)],
                )

    def statuses(self, timeout_s: float = 120.0) -> list[int]:
        """Wait for all launchers; return their exit statuses, in the order of the hosts."""
        deadline = time.monotonic() + timeout_s
        try:
            return [self.hosts[place].wait(deadline - time.monotonic()) for place in sorted(self.hosts)]
        except subprocess.TimeoutExpired as error:
            raise AssertionError("\n\n".join(self.said(place)[-2000:] for place in self.hosts)) from error
        finally:
            self.kill(*self.hosts)

    def said(self, place: int) -> str:
        """Return what a host's launcher and its processes have written."""
        return self.logs[place].read_text(errors="replace")

    def last_lines(self) -> list[str]:
        """Return the last line of each host."""
        return [self.said(place).strip().splitlines()[-1] for place in sorted(self.hosts)]

    def wait_for(self, place: int, text: str, timeout_s: float = 120.0) -> None:
        """Wait until a host has said something."""
        deadline = time.monotonic() + timeout_s
        while text not in self.said(place):
            assert time.monotonic() < deadline, self.said(place)[-3000:]
            time.sleep(0.05)

    def kill(self, *places: int) -> None:
        """Kill every process of some hosts, as the loss of a machine does."""
        for place in places:
            for process in self.processes(place):
                process.kill()
            self.hosts[place].wait(30)

    def processes(self, place: int) -> list[psutil.Process]:
        """Return what runs on a host, by the place and the run in its environment."""
        known, ours = self._environments.known().items(), {RUN: self._run, "NODE_RANK": str(place)}
        return [each for each, found in known if each.pid != os.getpid() and ours.items() <= found.items()]
