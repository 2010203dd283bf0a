"""`python -m trainers.launch --servers V --trainers T RECIPE …`: one command from arguments to a finished run."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from trainers.configuration import ConfigurationError, Problem, compose
from trainers.configuration.composition.compose import Composition
from trainers.configuration.devices.machine import Machine, assume, detect
from trainers.configuration.resume.decision import decide, settle
from trainers.configuration.settings.experiments import (
    Experiment,
    StudentExperiment,
)
from trainers.launch.checks.inspection import Findings
from trainers.launch.checks.model_uses import model_uses
from trainers.launch.checks.preflight import check_counts, check_devices, check_surroundings, examine
from trainers.launch.checks.trained_on import trained_on
from trainers.launch.downloads import downloaded
from trainers.launch.estimates.cpu_cache import with_caches
from trainers.launch.estimates.gpu_memory import cards
from trainers.launch.estimates.memory_fit import Cards, memory_warnings
from trainers.launch.estimates.model_sizes import declared_shape, local_shape
from trainers.launch.hosts.listing import HostList, assumed, listed
from trainers.launch.hosts.parts import assumed_hosts, on_hosts, part_of, whole
from trainers.launch.node.requirements import machine_problems, machine_warnings, server_arguments
from trainers.launch.node.software import Software, installed
from trainers.launch.options import parse
from trainers.launch.plan import LaunchPlan, make_plan
from trainers.launch.report import WARNING, report
from trainers.launch.running import run
from trainers.launch.supervise.failure_hints import server_hints
from trainers.launch.supervise.interruption import PREEMPTED, Interrupted, interruptible
from trainers.output.core_dumps import forbid_core_dumps
from trainers.output.files import FULL, cannot_write
from trainers.output.lock import locked
from trainers.output.temporary import own_temporary_directory
from trainers.serving.processes.orphans import no_orphans
from trainers.serving.processes.server_group import ServerError
from trainers.serving.server_spec import ServerSpec
from trainers.terminal.log_lines import log_to_standard_error

USER_ERROR = 2
"""Exit status for a mistake of the user."""
SERVER_ERROR = 3
"""Exit status for a server that failed."""
DISK_ERROR = 5
"""Exit status for a disk that takes no more."""
NOT_CHECKED = "tokenizers, data and disk were not looked at: a launch on that machine does so before servers start"
logger = logging.getLogger("launch")


def main(arguments: Sequence[str] | None = None) -> int:
    """Launch a run; return the trainer's exit status, or one of those above for what ended it here."""
    log_to_standard_error()
    forbid_core_dumps()
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
        with interruptible():
            return launch(options)
    except (ConfigurationError, ServerError, Interrupted, OSError) as error:
        return told_end(error)


def told_end(error: BaseException) -> int:
    """Say what ended a launch; return its exit status. What nobody foresaw is raised again."""
    if isinstance(error, ConfigurationError):
        sys.stderr.write(f"{error}\n")
        return USER_ERROR
    if isinstance(error, ServerError):
        logger.error("%s", error)
        for hint in server_hints(str(error), on_cpu=detect().cpu_only):
            logger.error("%s", hint)
        return SERVER_ERROR
    if isinstance(error, Interrupted):
        continues = ": the same command continues" if error.status == PREEMPTED else ""
        logger.info("stopped by %s (status %d)%s", error, error.status, continues)
        return error.status
    if not isinstance(error, OSError) or error.errno not in FULL:
        raise error
    logger.error("%s", cannot_write(Path(error.filename or "the output directory"), error))
    return DISK_ERROR


def launch(options: argparse.Namespace) -> int:
    """Compose, check, and then shows or runs."""
    machine = detect() if options.assume_gpus is None else assume(options.assume_gpus)
    memory = cards(machine, options.assume_gpu_memory)
    hosts = assumed(options.assume_hosts) if options.assume_hosts else listed(options.hosts, os.environ)
    if hosts is not None:
        return launch_on(hosts, options, machine, memory)
    composition = composed(options, machine)
    software = Software() if machine.assumed else installed()

    def plan_of(config: Experiment) -> LaunchPlan:
        return fitted(make_plan(config, machine, options.servers, options.trainers), software)

    def check(config: Experiment) -> tuple[Problem, ...]:
        plan = plan_of(config)
        lacking = tuple(machine_problems(plan, machine, software))
        found = Findings(lacking) if lacking else checked(plan, memory, options.no_preflight)
        _warn(replace(found, warnings=(*machine_warnings(plan, machine, software), *found.warnings)))
        return found.problems

    if options.dry_run:
        plan = plan_of(composition.config)
        lacking = tuple(machine_problems(plan, machine, software))
        if lacking:
            raise ConfigurationError(lacking)
        warned = [f"{WARNING}{warning}" for warning in machine_warnings(plan, machine, software)]
        noted = replace(composition, notes=(*composition.notes, *warned))
        return show(plan, noted, machine, memory, options.no_preflight)
    with locked(composition.config.output.output_dir):
        config, notes = settle(composition, check=check)
        for note in notes:
            logger.info("%s", note)
        if config is None:
            return 0
        with own_temporary_directory() as temporary, no_orphans(temporary):
            downloaded(config)
            return run(plan_of(config))


def launch_on(hosts: HostList, options: argparse.Namespace, machine: Machine, memory: Cards) -> int:
    """Show or launch a run on several hosts, of which this is one."""
    composition = composed(options, whole(machine, hosts.number), hosts.number)
    software = Software() if machine.assumed else installed()
    if options.dry_run:
        return show_hosts(hosts, options, composition, machine, memory)

    # An HTTP client and server, for which a launch on one host need not wait.
    from trainers.launch.hosts.together import RunRequest, Steps, launch_together

    def look(plan: LaunchPlan) -> tuple[Problem, ...]:
        for warning in machine_warnings(plan, machine, software):
            logger.warning("warning: %s", warning)
        return tuple(machine_problems(plan, machine, software)) or tuple(check_surroundings(plan))

    def examined(plan: LaunchPlan) -> tuple[Problem, ...]:
        found = Findings((), (), _shapes(plan)) if options.no_preflight else examine(plan, memory)
        _warn(found)
        return found.problems

    steps = Steps(partial(fitted, software=software), look, examined, downloaded, run, told_end)
    return launch_together(hosts, RunRequest(composition, options.servers, options.trainers), machine, steps)


def show_hosts(
    hosts: HostList, options: argparse.Namespace, composition: Composition, machine: Machine, memory: Cards
) -> int:
    """Print what each host of a run would start; the others are taken to be like this one."""
    names = hosts.names or tuple(f"host{place + 1}" for place in range(hosts.number))
    listed_hosts = assumed_hosts(names, machine)
    config = on_hosts(composition.config, listed_hosts, options.servers, options.trainers)
    parts = [part_of(config, listed_hosts, i, options.servers, options.trainers) for i in range(hosts.number)]
    warnings = (*trained_on(config), *dict.fromkeys(each for p in parts for each in _memory(p, memory)), NOT_CHECKED)
    report(parts, Findings((), warnings, _shapes(parts[0])), memory, composition.notes, sys.stdout)
    return 0


def _memory(plan: LaunchPlan, memory: Cards) -> tuple[str, ...]:
    return tuple(memory_warnings(plan, _shapes(plan), memory))


def fitted(plan: LaunchPlan, software: Software) -> LaunchPlan:
    """Return a plan whose servers suit this machine: caches by its free memory, kernels that it can build."""
    config = plan.config
    if not isinstance(config, StudentExperiment):
        return plan
    asked, free = config.serving.cpu_cache_gib, psutil.virtual_memory().available
    shapes = {spec.model: declared_shape(spec.model) for spec in plan.servers if not spec.gpus}
    servers = with_caches(plan.servers, shapes, free, float(asked) if asked is not None else None)
    return replace(plan, servers=tuple(_with_arguments(spec, server_arguments(spec, software)) for spec in servers))


def _with_arguments(spec: ServerSpec, arguments: tuple[str, ...]) -> ServerSpec:
    return replace(spec, extra_args=(*spec.extra_args, *arguments))


def composed(options: argparse.Namespace, machine: Machine, hosts: int = 1) -> Composition:
    """Compose a launch; problems of the configuration and of V and T are raised together.

    Args:
        options: of the command line.
        machine: with the GPUs of all hosts.
        hosts: their number.
    """
    problems = list(check_devices(machine, options.servers, options.trainers, hosts))
    try:
        composition = compose(options.arguments, machine, max(options.trainers, 1), options.servers or None)
    except ConfigurationError as error:
        raise ConfigurationError([*problems, *error.problems]) from None
    problems += check_counts(composition.config.output.experiment, options.servers, options.trainers)
    if problems:
        raise ConfigurationError(problems)
    return composition


def checked(plan: LaunchPlan, memory: Cards, quick: bool) -> Findings:
    """Check a plan on this machine.

    The look at models and data is left out where something else is missing already, or `quick` is set.
    """
    problems = tuple(check_surroundings(plan))
    if problems:
        return Findings(problems)
    return Findings((), (), _shapes(plan)) if quick else examine(plan, memory)


def foreseen(plan: LaunchPlan, memory: Cards) -> Findings:
    """Return the findings to be had here about a plan for another machine; what only that one knows is a warning."""
    shapes = _shapes(plan)
    unknown = [_line(problem) for problem in check_surroundings(plan)]
    warnings = (*unknown, *trained_on(plan.config), *memory_warnings(plan, shapes, memory), NOT_CHECKED)
    return Findings((), warnings, shapes)


def show(plan: LaunchPlan, composition: Composition, machine: Machine, memory: Cards, quick: bool) -> int:
    """Print a plan.

    Raises:
        ConfigurationError: when it could not run: here, or on any machine like the one assumed.
    """
    notes = (*composition.notes, *_output_notes(plan, machine))
    found = foreseen(plan, memory) if machine.assumed else checked(plan, memory, quick)
    if found.problems:
        raise ConfigurationError(found.problems)
    report([plan], found, memory, notes, sys.stdout)
    return 0


def _output_notes(plan: LaunchPlan, machine: Machine) -> tuple[str, ...]:
    return () if machine.assumed else (f"{plan.output_dir}: {decide(plan.config).reason}",)


def _shapes(plan: LaunchPlan) -> dict[str, Any]:
    return {use.model: local_shape(use.model) for use in model_uses(plan.config)}


def _warn(found: Findings) -> None:
    for warning in found.warnings:
        logger.warning("warning: %s", warning)


def _line(problem: Problem) -> str:
    return " ".join(str(problem).split())


if __name__ == "__main__":
    sys.exit(main())
