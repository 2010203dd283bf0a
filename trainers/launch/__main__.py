"""`python -m trainers.launch --servers V --trainers T RECIPE …`: one command from arguments to a finished run."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import yaml

from trainers.configuration import ConfigurationError, Problem, compose
from trainers.configuration.composition.compose import Composition
from trainers.configuration.devices.machine import Machine, assume, detect
from trainers.configuration.resume.decision import STOP, STOP_ROLLOUT, decide, is_finished, settle
from trainers.configuration.settings.experiments import (
    Experiment,
    GRPOExperiment,
    StudentExperiment,
    TrainingExperiment,
)
from trainers.configuration.settings.keys import all_keys
from trainers.launch.checks.inspection import Findings
from trainers.launch.checks.model_uses import model_uses
from trainers.launch.checks.preflight import check_counts, check_devices, check_surroundings, examine
from trainers.launch.checks.trained_on import trained_on
from trainers.launch.downloads import downloaded
from trainers.launch.estimates.cpu_cache import with_caches
from trainers.launch.estimates.gpu_memory import cards
from trainers.launch.estimates.memory_fit import Cards, memory_warnings
from trainers.launch.estimates.model_sizes import declared_shape, local_shape
from trainers.launch.hosts.company import ALONE, Company
from trainers.launch.hosts.endings import ServersElsewhere
from trainers.launch.hosts.listing import HostList, assumed, listed
from trainers.launch.hosts.parts import assumed_hosts, on_hosts, part_of, whole
from trainers.launch.node.requirements import machine_problems, machine_warnings, server_arguments
from trainers.launch.node.software import Software, installed
from trainers.launch.plan import ACCELERATE_FILE, LaunchPlan, accelerate_settings, make_plan
from trainers.launch.report import WARNING, devices, report
from trainers.launch.supervise.failure_hints import server_hints, trainer_hints
from trainers.launch.supervise.interruption import PREEMPTED, Interrupted, Request, deferring, interruptible
from trainers.launch.supervise.preemption import made_room, make_room
from trainers.launch.supervise.process import Process
from trainers.launch.supervise.ranks import FAILURE_FILE, recorded_failure
from trainers.launch.supervise.screen import Screen, screen_shown
from trainers.launch.supervise.spared_servers import goes_on_without, max_restarts
from trainers.output.checkpoints import newest_whole
from trainers.output.files import FULL, cannot_write, told
from trainers.output.lock import locked
from trainers.output.temporary import own_temporary_directory
from trainers.paths import resource
from trainers.serving.processes.command import Command
from trainers.serving.processes.orphans import no_orphans
from trainers.serving.processes.server_group import ServerError, ServerGroup
from trainers.serving.server_records import records_file
from trainers.serving.server_spec import ServerSpec
from trainers.terminal.log_lines import log_to_standard_error

USER_ERROR = 2
"""Exit status for a mistake of the user."""
SERVER_ERROR = 3
"""Exit status for a server that failed."""
STOPPED_EARLY = 4
"""Exit status of a training that has steps left."""
DISK_ERROR = 5
"""Exit status for a disk that takes no more."""
WATCH_INTERVAL_S = 0.5
SILENCE_S = 5.0
"""Seconds without a sign of life from a trainer that starts, after which the launcher gives one."""
WAITING_TOLD_EVERY_S = 60.0
"""Seconds between lines about servers that are waited for, beside a display of the time."""
SAVING_GRACE_S = 1800.0
"""Seconds that a trainer which lost a server may take for the rest of its step and a checkpoint."""
TRAINER_LOG = "trainer.log"
LOST_GRACE_S = 25.0
"""Seconds that it may take where another host's servers are gone: the whole run ends within a minute."""
OPTIONS = ("--dry-run", "--assume-gpus", "--assume-gpu-memory", "--assume-hosts", "--no-preflight", "--hosts")
NOT_CHECKED = "tokenizers, data and disk were not looked at: a launch on that machine does so before servers start"
logger = logging.getLogger("launch")


def main(arguments: Sequence[str] | None = None) -> int:
    """Launch a run; return the trainer's exit status, or one of those above for what ended it here."""
    log_to_standard_error()
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


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the launcher's own options; everything else is configuration."""
    parser = argparse.ArgumentParser(prog="trainers.launch", description=__doc__, allow_abbrev=False)
    parser.add_argument("--servers", type=_count, required=True, metavar="V", help="GPUs for model servers")
    parser.add_argument("--trainers", type=_count, required=True, metavar="T", help="training processes, a GPU each")
    parser.add_argument("--dry-run", action="store_true", help="print what would be started, and start nothing")
    parser.add_argument(
        "--assume-gpus", type=_count, metavar="N", help="plan for a machine with N GPUs (with --dry-run)"
    )
    parser.add_argument(
        "--assume-gpu-memory", type=_gibibytes, metavar="GIB", help="memory of each assumed GPU, such as 24 or 80"
    )
    parser.add_argument("--assume-hosts", type=_count, metavar="N", help="plan for N hosts like this (with --dry-run)")
    parser.add_argument("--hosts", metavar="A,B,…", help="all hosts of the run; start the same line on each")
    parser.add_argument(
        "--no-preflight", action="store_true", help="do not load tokenizers and data before the servers start"
    )
    parser.add_argument("arguments", nargs="*", metavar="RECIPE | key=value | zero1 | zero2 | offload")
    options, unknown = parser.parse_known_intermixed_args(list(arguments))
    if unknown:
        raise ConfigurationError([_unknown_option(word) for word in unknown if word.startswith("-")])
    if options.assume_gpus is not None and not options.dry_run:
        parser.error("--assume-gpus plans for another machine, which only --dry-run can do")
    if options.assume_hosts is not None and not options.dry_run:
        parser.error("--assume-hosts plans for other machines, which only --dry-run can do; --hosts names real ones")
    if options.assume_gpu_memory is not None and options.assume_gpus is None:
        parser.error("--assume-gpu-memory belongs to --assume-gpus N; the memory of GPUs that are here is known")
    return options


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


def run(plan: LaunchPlan, others: Company = ALONE) -> int:
    """Start servers and trainer, watch both, and stop what is left of them whatever happens.

    Args:
        plan: of this host.
        others: the other hosts of the run.
    """
    write_accelerate(plan)
    for line in devices(plan):
        logger.info("%s", line)
    failure = plan.file("failure.json")
    failure.unlink(missing_ok=True)
    for asked in (STOP, STOP_ROLLOUT):
        (plan.output_dir / asked).unlink(missing_ok=True)
    command = Command(plan.trainer.argv, {**plan.trainer.env, FAILURE_FILE: str(failure.absolute())})
    with screen_shown() as screen, _servers_of(plan, screen) as servers, others.told_why():
        for server in servers.servers:
            logger.info("%s is up: curl %s/health  (log: %s)", server.spec.name, server.spec.base_url, server.log_path)
        others.servers_up(servers.poll)
        if not plan.runs_program:
            return others.serve(servers.poll)
        log = plan.file(TRAINER_LOG)
        logger.info("starting the trainer, which loads libraries, model and data first  (log: %s)", log)
        if screen is not None:
            screen.tell({"stage": "starting the trainer"})
        # What cannot save goes on where it stopped: it ends at once.
        noting = deferring() if isinstance(plan.config, TrainingExperiment) else nullcontext(Request())
        with noting as request, Process(command, "trainer", log, screen) as trainer:
            status = watched(plan, servers, trainer, request, others)
        recorded = recorded_failure(failure)
        if recorded is not None:
            failure.unlink()
            raise recorded
        if status and not request.made:
            # A server that died is why the trainer failed, even where the trainer was quicker to say so.
            servers.check()
        others.program_ended(status, request)
    if status is None or request.made:
        return made_room(plan.output_dir, status, _save_grace_s(plan))
    return conclude(plan, status, trainer.tail)


def _save_grace_s(plan: LaunchPlan) -> float:
    return float(plan.config.training.save_grace_s) if isinstance(plan.config, TrainingExperiment) else 0.0


def _servers_of(plan: LaunchPlan, screen: Screen | None) -> ServerGroup:
    """Return the servers of a run, not started; what shows the time is not told every five seconds to wait."""
    spared = partial(goes_on_without, plan.config, plan.servers)
    group = partial(ServerGroup, plan.servers, plan.output_dir, spared, max_restarts=max_restarts(plan.config))
    if plan.part is not None and plan.servers:
        group = partial(group, records_file=records_file(plan.servers[0].host))
    if isinstance(plan.config, StudentExperiment):
        group = partial(group, start_timeout_s=float(plan.config.serving.server_start_timeout_s))
    if screen is None:
        return group()
    if plan.servers:
        screen.tell({"stage": "starting the servers"})
    return group(told_every_s=WAITING_TOLD_EVERY_S)


def watched(
    plan: LaunchPlan, servers: ServerGroup, trainer: Process, request: Request, others: Company = ALONE
) -> int | None:
    """Return the status with which a trainer ends beside its servers, `None` when it had no more time to make room.

    Raises:
        ServerError: when a server ended before it that the run needs. A GRPO training has saved a checkpoint then, if
            that could be done.
    """
    started = told = time.monotonic()
    while not request.made:
        status = trainer.status(WATCH_INTERVAL_S)
        if status is not None:
            return status
        if not trainer.said_something and time.monotonic() - told >= SILENCE_S:
            told = time.monotonic()
            logger.info("waiting for the trainer's first line (%.0f s)", told - started)
        try:
            servers.poll()
            others.look(request)
        except ServerError as error:
            if not isinstance(plan.config, GRPOExperiment):
                raise
            grace_s = LOST_GRACE_S if isinstance(error, ServersElsewhere) else SAVING_GRACE_S
            status = saved(plan, str(error).partition(" The end of its log")[0], trainer, request, grace_s)
            if status == 0 and not stopped_early(plan):
                return 0
            if not request.made:
                _say_how_to_continue(plan)
                raise
    others.look(request)
    return make_room(plan.output_dir, trainer, (*servers.servers, *others.servers()), request, _save_grace_s(plan))


def saved(plan: LaunchPlan, reason: str, trainer: Process, request: Request, grace_s: float) -> int | None:
    """Have a trainer end its step and save; return its status, `None` after a deadline or when asked to make room."""
    logger.error("%s", reason)
    logger.error(
        "waiting up to %s for the trainer to end its step with a checkpoint; Ctrl-C ends everything at once",
        f"{grace_s / 60:.0f} min" if grace_s >= 60 else f"{grace_s:.0f} s",
    )
    with told(plan.output_dir / STOP):
        (plan.output_dir / STOP).write_text(reason, encoding="utf-8")
    if grace_s < SAVING_GRACE_S:
        with told(plan.output_dir / STOP_ROLLOUT):
            (plan.output_dir / STOP_ROLLOUT).touch()
    deadline = time.monotonic() + grace_s
    status = None
    while status is None and not request.made and time.monotonic() < deadline:
        status = trainer.status(WATCH_INTERVAL_S)
    for asked in (STOP, STOP_ROLLOUT):
        (plan.output_dir / asked).unlink(missing_ok=True)
    return status


def _say_how_to_continue(plan: LaunchPlan) -> None:
    whole, damaged = newest_whole(plan.output_dir)
    for checkpoint, wrong in damaged.items():
        logger.error("%s is not whole: %s", checkpoint, wrong)
    if whole is not None:
        logger.error("the same command continues from %s", whole)


def conclude(plan: LaunchPlan, status: int, tail: str) -> int:
    """Say how a run ended, and what helps against it; return the launcher's exit status."""
    if not status and stopped_early(plan):
        logger.error(
            "stopped early, for the reason above: the same command continues; output is in %s", plan.output_dir
        )
        return STOPPED_EARLY
    if not status:
        logger.info("finished; output is in %s", plan.output_dir)
        return 0
    logger.error("the trainer failed with status %d; what it wrote is in %s", status, plan.file(TRAINER_LOG))
    for hint in trainer_hints(status, tail, plan.config):
        logger.error("%s", hint)
    _say_how_to_continue(plan)
    return status


def stopped_early(plan: LaunchPlan) -> bool:
    """Return whether a training that ended well has steps left.

    An evaluation never has: one that lacks answers has results all the same.
    """
    return isinstance(plan.config, TrainingExperiment) and not is_finished(plan.output_dir)


def write_accelerate(plan: LaunchPlan) -> None:
    """Write the accelerate file of this run: the one of its DeepSpeed stage, with processes and precision set."""
    config = plan.config
    if plan.accelerate is None or not isinstance(config, TrainingExperiment):
        return
    path = resource("accelerate", f"deepspeed_{config.training.deepspeed}.yaml")
    stage = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings = accelerate_settings(config.trainer, plan.accelerate, stage)
    plan.file(ACCELERATE_FILE).write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def _shapes(plan: LaunchPlan) -> dict[str, Any]:
    return {use.model: local_shape(use.model) for use in model_uses(plan.config)}


def _warn(found: Findings) -> None:
    for warning in found.warnings:
        logger.warning("warning: %s", warning)


def _line(problem: Problem) -> str:
    return " ".join(str(problem).split())


def _unknown_option(word: str) -> Problem:
    name, _, value = word.lstrip("-").partition("=")
    if name in all_keys():
        return Problem(word, "keys are written without dashes", f"write {name}={value or '…'}")
    close = get_close_matches(word, OPTIONS, n=1)
    remedy = f"did you mean {close[0]}?" if close else "leave it out; keys of the configuration are key=value"
    return Problem(word, f"expected one of the options {', '.join(OPTIONS)}", remedy)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of GPUs (0, 1, 2 …)")
    return int(text)


def _gibibytes(text: str) -> float:
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if size <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of GPU memory in GiB (24, 80 …)")
    return size


if __name__ == "__main__":
    sys.exit(main())
