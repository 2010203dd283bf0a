"""`python -m trainers.launch --servers V --trainers T RECIPE …`: one command from arguments to a finished run."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trainers.configuration import ConfigurationError, Problem, compose
from trainers.configuration.composition.compose import Composition
from trainers.configuration.devices.machine import Machine, assume, detect
from trainers.configuration.resume.decision import decide, settle
from trainers.configuration.settings.experiments import Experiment
from trainers.launch.checks.inspection import Findings
from trainers.launch.checks.model_uses import model_uses
from trainers.launch.checks.preflight import check_counts, check_devices, check_surroundings, examine
from trainers.launch.checks.trained_on import trained_on
from trainers.launch.downloads import downloaded
from trainers.launch.estimates.gpu_memory import cards
from trainers.launch.estimates.memory_fit import Cards, memory_warnings
from trainers.launch.estimates.model_sizes import local_shape
from trainers.launch.hosts.listing import HostList, assumed, listed
from trainers.launch.hosts.parts import assumed_hosts, on_hosts, part_of, whole
from trainers.launch.node.software import Software, installed
from trainers.launch.options import parse
from trainers.launch.outcome import told_end
from trainers.launch.own_host import OwnHost
from trainers.launch.plan import LaunchPlan, make_plan
from trainers.launch.report import WARNING, report
from trainers.launch.running import run
from trainers.launch.supervise.interruption import Interrupted, interruptible
from trainers.output.core_dumps import forbid_core_dumps
from trainers.output.lock import locked
from trainers.output.temporary import own_temporary_directory
from trainers.serving.processes.orphans import no_orphans
from trainers.serving.processes.server_group import ServerError
from trainers.terminal.log_lines import log_to_standard_error

NOT_CHECKED = "tokenizers, data and disk were not looked at: a launch on that machine does so before servers start"
logger = logging.getLogger("launch")


def main(arguments: Sequence[str] | None = None) -> int:
    """Launch a run; return the trainer's exit status, or one of `outcome` for what ended it here."""
    log_to_standard_error()
    forbid_core_dumps()
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
        with interruptible():
            return launch(options)
    except (ConfigurationError, ServerError, Interrupted, OSError) as error:
        return told_end(error)


def launch(options: argparse.Namespace) -> int:
    """Compose, check, and then shows or runs."""
    machine = detect() if options.assume_gpus is None else assume(options.assume_gpus)
    memory = cards(machine, options.assume_gpu_memory)
    hosts = assumed(options.assume_hosts) if options.assume_hosts else listed(options.hosts, os.environ)
    if hosts is not None:
        return launch_on(hosts, options, machine, memory)
    composition = composed(options, machine)
    own = own_host(options, machine, memory)

    def plan_of(config: Experiment) -> LaunchPlan:
        return own.fit(make_plan(config, machine, options.servers, options.trainers))

    def check(config: Experiment) -> tuple[Problem, ...]:
        plan = plan_of(config)
        return own.look(plan) or own.examine(plan)

    if options.dry_run:
        plan = plan_of(composition.config)
        if lacking := own.lacks(plan):
            raise ConfigurationError(lacking)
        warned = [f"{WARNING}{warning}" for warning in own.warns(plan)]
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
    if options.dry_run:
        return show_hosts(hosts, options, composition, machine, memory)

    # An HTTP client and server, for which a launch on one host need not wait.
    from trainers.launch.together import RunRequest, launch_together

    asked = RunRequest(composition, options.servers, options.trainers)
    return launch_together(hosts, asked, own_host(options, machine, memory))


def own_host(options: argparse.Namespace, machine: Machine, memory: Cards) -> OwnHost:
    """Return this host, with the software that is installed on it."""
    return OwnHost(machine, memory, Software() if machine.assumed else installed(), options.no_preflight)


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


def _line(problem: Problem) -> str:
    return " ".join(str(problem).split())


if __name__ == "__main__":
    sys.exit(main())
