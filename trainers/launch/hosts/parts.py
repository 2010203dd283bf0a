"""A run over several hosts as data: who starts what, where it listens, which rank is where. Nothing is started here.

V and T are GPUs of the whole run: servers take those of the first hosts, training processes the next. Hosts without
GPUs count as many places each as hold V + T together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.configuration import server_layout
from trainers.configuration.devices.machine import Machine
from trainers.configuration.devices.placement import spanning
from trainers.configuration.settings.experiments import (
    Experiment,
    GRPOExperiment,
    StudentExperiment,
    TrainingExperiment,
)
from trainers.launch.hosts.facts import HostFacts
from trainers.launch.plan import ACCELERATE_FILE, HostPart, LaunchPlan, accelerate_differences, trainer_command
from trainers.problems import ConfigurationError, Problem
from trainers.serving.interfaces import LOOPBACK
from trainers.serving.server_spec import Gpu, ServerSpec


@dataclass(frozen=True)
class Host:
    """One host of a run.

    Args:
        name: of it.
        address: by which the others reach it.
        machine: its GPUs.
        port: on which training processes meet, where this is the host of the first.
    """

    name: str
    address: str
    machine: Machine
    port: int = 0


@dataclass(frozen=True)
class Place:
    """One slot for a server or a training process: a GPU of a host, `None` on the CPU."""

    host: int
    gpu: Gpu | None


def hosts_of(facts: Sequence[HostFacts], own: int, machine: Machine) -> tuple[Host, ...]:
    """Return the hosts that have met; only of this one, whose place is `own`, the GPUs' ids are known."""
    return tuple(
        Host(
            fact.name,
            fact.address,
            machine if place == own else Machine(tuple(range(fact.gpus)), machine.assumed),
            fact.port,
        )
        for place, fact in enumerate(facts)
    )


def whole(machine: Machine, number: int) -> Machine:
    """Return the GPUs of as many hosts like one as a single machine, to count them."""
    return Machine(tuple(range(number * len(machine.gpus))), machine.assumed)


def places(hosts: Sequence[Host], servers: int, trainers: int) -> tuple[Place, ...]:
    """Return the first V + T places of a run, in the order of the hosts."""
    each = -(-(servers + trainers) // len(hosts))
    listed = [Place(index, gpu) for index, host in enumerate(hosts) for gpu in (host.machine.gpus or (None,) * each)]
    return tuple(listed[: servers + trainers])


def on_hosts(config: Experiment, hosts: Sequence[Host], servers: int, trainers: int) -> Experiment:
    """Return a configuration with the addresses of its servers, and of the process that sends them weights.

    Raises:
        ConfigurationError: where a server with tensor parallelism would span two hosts, or weights cannot travel.
    """
    taken = places(hosts, servers, trainers)
    keys: dict[str, Any] = {}
    if isinstance(config, StudentExperiment) and servers:
        keys["server_hosts"] = [hosts[place.host].address for place in taken[:servers]]
    if isinstance(config, GRPOExperiment) and config.rollouts.trainer_address is None and trainers:
        keys["trainer_address"] = hosts[taken[servers].host].address
    placed = config.with_keys(**keys)
    problems: list[Problem] = []
    if isinstance(placed, GRPOExperiment) and placed.rollouts.weight_transfer == "ipc":
        expected = "CUDA handles do not leave a host"
        problems.append(Problem("weight_transfer=ipc", expected, "leave it out: NCCL carries weights between hosts"))
    split = list(spanning(placed)) if isinstance(placed, StudentExperiment) else []
    if split:
        expected = f"a server stays inside a host, and this one would not: {split[0]}"
        remedy = "choose sizes of tensor parallelism that use up each host's GPUs in turn"
        problems.append(Problem("tensor_parallel_size", expected, remedy))
    if problems:
        raise ConfigurationError(problems)
    return placed


def part_of(config: Experiment, hosts: Sequence[Host], index: int, servers: int, trainers: int) -> LaunchPlan:
    """Return what one host starts of a run.

    Args:
        config: as `on_hosts` returns it.
        hosts: of the run.
        index: place of this one.
        servers: V.
        trainers: T.
    """
    taken, host = places(hosts, servers, trainers), hosts[index]
    served, trained = taken[:servers], taken[servers:]
    ranks = [rank for rank, place in enumerate(trained) if place.host == index]
    gpus = tuple(place.gpu for place in trained if place.host == index and place.gpu is not None)
    training = isinstance(config, TrainingExperiment)
    part = HostPart(
        host.name,
        index,
        range(ranks[0], ranks[-1] + 1) if ranks else range(0),
        runs=bool(ranks) if training else index == 0,
        logs_as="" if 0 in ranks or (not training and index == 0) else f"-{host.name}",
    )
    layout: tuple[ServerSpec, ...] = ()
    if servers and isinstance(config, StudentExperiment):
        cards = tuple(place.gpu for place in served if place.gpu is not None)
        layout = tuple(spec for spec in server_layout(config, cards) if spec.host == host.address)
    file = f"{Path(ACCELERATE_FILE).stem}{part.logs_as}.yaml"
    accelerate, address = None, LOOPBACK
    if isinstance(config, TrainingExperiment):
        rendezvous = _rendezvous(hosts, trained, index)
        accelerate = accelerate_differences(config, host.machine) | rendezvous
        address = host.address if rendezvous else LOOPBACK
    return LaunchPlan(
        config=config,
        servers=layout,
        trainer_gpus=gpus,
        trainer=trainer_command(config, host.machine, gpus, max(len(ranks), 1), file, address),
        accelerate=accelerate,
        part=part,
    )


def _rendezvous(hosts: Sequence[Host], trained: Sequence[Place], index: int) -> dict[str, Any]:
    """Return where the training processes of several hosts meet, as accelerate writes it; nothing where one has all."""
    machines = list(dict.fromkeys(place.host for place in trained))
    if len(machines) == 1 or index not in machines:
        return {}
    first, here = hosts[machines[0]], sum(place.host == index for place in trained)
    return {
        # Accelerate starts the quotient of the two on each machine; they may have different numbers.
        "num_processes": here * len(machines),
        "num_machines": len(machines),
        "machine_rank": machines.index(index),
        "main_process_ip": first.address,
        "main_process_port": first.port,
    }


def assumed_hosts(names: Sequence[str], machine: Machine) -> tuple[Host, ...]:
    """Return hosts that are planned for: all like one machine, and reached by their names."""
    return tuple(Host(name, name, machine) for name in names)
