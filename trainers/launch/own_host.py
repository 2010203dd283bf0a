"""This host as a launch has it: it fits plans to the machine, and tells what keeps them from starting."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

import psutil

from trainers.configuration.devices.machine import Machine
from trainers.configuration.settings.experiments import StudentExperiment
from trainers.launch.checks.inspection import Findings
from trainers.launch.checks.preflight import check_surroundings, examine
from trainers.launch.estimates.cpu_cache import with_caches
from trainers.launch.estimates.memory_fit import Cards
from trainers.launch.estimates.model_sizes import declared_shape
from trainers.launch.node.requirements import machine_problems, machine_warnings, server_arguments
from trainers.launch.node.software import Software
from trainers.launch.plan import LaunchPlan
from trainers.problems import Problem
from trainers.serving.server_spec import ServerSpec

logger = logging.getLogger("launch")


@dataclass(frozen=True)
class OwnHost:
    """This host of a run.

    Args:
        machine: its GPUs.
        memory: of each GPU.
        software: that builds and runs kernels.
        quick: whether the look at models and data is left out.
    """

    machine: Machine
    memory: Cards
    software: Software
    quick: bool = False

    def fit(self, plan: LaunchPlan) -> LaunchPlan:
        """Return a plan whose servers suit this machine: caches by its free memory, kernels that it can build."""
        return fitted(plan, self.software)

    def lacks(self, plan: LaunchPlan) -> tuple[Problem, ...]:
        """Return what a plan needs and the machine has not: drivers, compilers, abilities of its cards."""
        return tuple(machine_problems(plan, self.machine, self.software))

    def warns(self, plan: LaunchPlan) -> tuple[str, ...]:
        """Return what will be slower here than elsewhere, or not as asked."""
        return tuple(machine_warnings(plan, self.machine, self.software))

    def look(self, plan: LaunchPlan) -> tuple[Problem, ...]:
        """Warn, and return what keeps a plan from starting that only this machine shows, at once."""
        _warn(self.warns(plan))
        return self.lacks(plan) or tuple(check_surroundings(plan))

    def examine(self, plan: LaunchPlan) -> tuple[Problem, ...]:
        """Warn, and return what a look at models and data finds, unless it is left out."""
        found = Findings() if self.quick else examine(plan, self.memory)
        _warn(found.warnings)
        return found.problems


def fitted(plan: LaunchPlan, software: Software) -> LaunchPlan:
    """Return a plan whose servers suit a machine: caches by its free memory, kernels that it can build."""
    config = plan.config
    if not isinstance(config, StudentExperiment):
        return plan
    asked, free = config.serving.cpu_cache_gib, psutil.virtual_memory().available
    shapes = {spec.model: declared_shape(spec.model) for spec in plan.servers if not spec.gpus}
    servers = with_caches(plan.servers, shapes, free, float(asked) if asked is not None else None)
    return replace(plan, servers=tuple(_with_arguments(spec, server_arguments(spec, software)) for spec in servers))


def _with_arguments(spec: ServerSpec, arguments: tuple[str, ...]) -> ServerSpec:
    return replace(spec, extra_args=(*spec.extra_args, *arguments))


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        logger.warning("warning: %s", warning)
