"""A real Slurm cluster on this machine, of one node or several, without systemd: as root, with Debian's packages.

Node i is called n<i> and listens on 127.0.0.<i+1>.

Partitions: `main` is preempted at once (TERM to every process, KILL after `KILL_WAIT_S`), `graced` after a warning (the
job's own `--signal`) of `GRACE_S`, by jobs of `urgent`.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import psutil

from tests.support.processes import Environment, Environments

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
KILL_WAIT_S = 30
GRACE_S = 120
SLURMD_TIMEOUT_S = 10
MEGABYTES = 4000
CANCELLED_WITHIN_S = 20
SOON_S = 3
"""Seconds until a job that was queued again starts, which of itself Slurm would let wait for two minutes."""


def why_not() -> str | None:
    """Return why no cluster can be had here; installs what is missing first. `None` when one can."""
    if os.geteuid() != 0:
        return "a cluster of its own needs root"
    if all(map(shutil.which, ("slurmctld", "slurmd", "sbatch", "munged"))):
        return None
    if shutil.which("apt-get") is None:
        return f"there is no apt-get to install {' '.join(PACKAGES)}"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(["apt-get", *command], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"apt-get {command[0]} failed: {done.stderr.strip()[-300:]}"
    return None


class Cluster:
    """A cluster that runs: submits jobs, and looks at them.

    Args:
        directory: of its configuration and logs.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = os.environ | {"SLURM_CONF": str(directory / "slurm.conf")}
        self._environments = Environments()

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """Return what a command of Slurm prints; it has to succeed."""
        done = subprocess.run(command, env=self.environment, cwd=cwd, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def submit(self, *arguments: str, cwd: Path | None = None) -> int:
        """Submit a batch job and return its number."""
        return int(self.run("sbatch", "--parsable", *arguments, cwd=cwd))

    def facts(self, job: int | str) -> dict[str, str]:
        """Return what Slurm says of a job; of a task of an array by `ARRAY_TASK`, as the last one has its number."""
        words = self.run("scontrol", "show", "job", "--oneliner", str(job)).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_for(self, job: int | str, condition: Callable[[dict[str, str]], bool], timeout_s: float) -> dict[str, str]:
        """Wait until the facts of a job meet a condition; a job that was queued again is let start soon.

        Not at once: what Slurm starts in the second in which it has taken it back, it may end as no longer allowed.
        """
        deadline = time.monotonic() + timeout_s
        while not condition(facts := self.facts(job)):
            assert time.monotonic() < deadline, facts
            if facts["JobState"] == "PENDING" and facts["Reason"] == "BeginTime" and _is_later(facts["StartTime"]):
                self.run("scontrol", "update", f"job={job}", f"StartTime=now+{SOON_S}")
            time.sleep(0.5)
        return facts

    def lose(self, node: str) -> None:
        """Kill every process of a node, as the loss of a machine does; Slurm sees so after `SLURMD_TIMEOUT_S`."""
        daemon = psutil.Process(int((self.directory / f"slurmd-{node}.pid").read_text()))
        jobs = self.processes(node)
        steps = {parent for process in jobs for parent in process.parents() if parent.name().startswith("slurmstepd")}
        for process in (daemon, *steps, *jobs):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def wait_for_nodes(self, states: Mapping[str, str], timeout_s: float = 60) -> None:
        """Wait until nodes are in these states."""
        deadline = time.monotonic() + timeout_s
        while any(self.node_states()[node].rstrip("*") != state for node, state in states.items()):
            assert time.monotonic() < deadline, f"{states}: {(self.directory / 'slurmctld.log').read_text()[-2000:]}"
            time.sleep(0.5)

    def node_states(self) -> dict[str, str]:
        """Return the state of every node, as Slurm sees it."""
        listed = self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T").split("\n")
        return dict(line.split() for line in listed if line)

    def processes(self, node: str | None = None, job: int | None = None) -> dict[psutil.Process, Environment]:
        """Return what jobs of this cluster have started, or one job has, on all nodes or on one."""
        ours = {"SLURM_CONF": self.environment["SLURM_CONF"]} | ({"SLURMD_NODENAME": node} if node else {})
        ours |= {"SLURM_JOB_ID": str(job)} if job else {}
        known = self._environments.known().items()
        # Slurm's own daemons have its configuration, too, and outlive every job.
        return {each: found for each, found in known if "SLURM_JOB_ID" in found and ours.items() <= found.items()}

    def cancel(self) -> None:
        """End all jobs at once, and wait until nothing of them is left."""
        self.run("scancel", "--user=root", "--full", "--signal=KILL")
        self.run("scancel", "--user=root")
        psutil.wait_procs(list(self.processes()), CANCELLED_WITHIN_S)

    def preempt(self, seconds: float = 2) -> int:
        """Submit a job that outranks all others and needs all nodes for itself; return its number."""
        everywhere = (f"--nodes={len(self.node_states())}", "--exclusive", "--partition=urgent")
        return self.submit(*everywhere, "--output=/dev/null", f"--wrap=sleep {seconds}")


@contextmanager
def slurm_cluster(directory: Path, nodes: int = 1) -> Iterator[Cluster]:
    """Start a cluster, wait until its nodes are idle, and stop it afterwards."""
    cluster, names = Cluster(directory), [f"n{place + 1}" for place in range(nodes)]
    (directory / "state").mkdir(parents=True)
    (directory / "munge.key").write_bytes(secrets.token_bytes(1024))
    (directory / "munge.key").chmod(0o400)
    (directory / "slurm.conf").write_text(_configuration(directory, names), encoding="utf-8")
    try:
        named = {"socket": "sock", "pid-file": "pid", "log-file": "log", "seed-file": "seed", "key-file": "key"}
        cluster.run("munged", "--force", *(f"--{option}={directory}/munge.{name}" for option, name in named.items()))
        cluster.run("slurmctld")
        for name in names:
            cluster.run("slurmd", "-N", name)
        cluster.wait_for_nodes(dict.fromkeys(names, "idle"))
        yield cluster
    finally:
        with suppress(AssertionError):
            cluster.cancel()
        for name in (*(f"slurmd-{name}" for name in names), "slurmctld", "munge"):
            _stop(directory / f"{name}.pid")


def _stop(pid_file: Path) -> None:
    with suppress(FileNotFoundError, psutil.NoSuchProcess):
        process = psutil.Process(int(pid_file.read_text()))
        process.terminate()
        process.wait(30)


def _configuration(directory: Path, names: Sequence[str]) -> str:
    host = socket.gethostname()
    control, *ports = _free_ports(1 + len(names))
    settings = {
        "ClusterName": "trial",
        # The hosts of a job meet at a port that follows from its number: two clusters beside each other need others.
        "FirstJobId": 1 + secrets.randbelow(60_000),
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": control,
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={directory}/munge.sock",
        "CryptoType": "crypto/munge",
        "SlurmUser": "root",
        "SlurmdUser": "root",
        "StateSaveLocation": directory / "state",
        "SlurmdSpoolDir": directory / "spool-%n",
        "SlurmctldPidFile": directory / "slurmctld.pid",
        "SlurmdPidFile": directory / "slurmd-%n.pid",
        "SlurmctldLogFile": directory / "slurmctld.log",
        "SlurmdLogFile": directory / "slurmd-%n.log",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_CPU",
        "ReturnToService": 2,
        "SwitchType": "switch/none",
        "MpiDefault": "none",
        "JobAcctGatherType": "jobacct_gather/none",
        "AccountingStorageType": "accounting_storage/none",
        "PreemptType": "preempt/partition_prio",
        "PreemptMode": "REQUEUE",
        "SchedulerParameters": "preempt_send_user_signal,sched_interval=2,bf_interval=2",
        "KillWait": KILL_WAIT_S,
        "SlurmdTimeout": SLURMD_TIMEOUT_S,
        "MinJobAge": 3600,
    }
    lines = [f"{name}={value}" for name, value in settings.items()]
    cpus = os.cpu_count() or 1
    for place, (name, port) in enumerate(zip(names, ports, strict=True)):
        address = f"NodeHostname={host} NodeAddr=127.0.0.{2 + place} Port={port}"
        lines.append(f"NodeName={name} {address} CPUs={cpus} RealMemory={MEGABYTES}")
    for name, more in {
        "main": "Default=YES PriorityTier=1",
        "graced": f"PriorityTier=1 GraceTime={GRACE_S}",
        "urgent": "PriorityTier=10",
    }.items():
        lines.append(f"PartitionName={name} Nodes=ALL MaxTime=INFINITE State=UP {more}")
    return "\n".join([*lines, ""])


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _is_later(start: str) -> bool:
    """Return whether a start, in Slurm's words, lies well behind the one that it can be brought forward to.

    Slurm knows none of a job whose time has come and that has no node yet.
    """
    return start != "Unknown" and datetime.fromisoformat(start) > datetime.now() + timedelta(seconds=2 * SOON_S)
