"""`python -m trainers.launch --servers V --trainers T RECIPE …`: one command from arguments to a finished run."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from trainers.configuration import ConfigurationError, Problem, compose
from trainers.configuration.composition import Composition
from trainers.configuration.machine import Machine, assume, detect
from trainers.configuration.resume import settle
from trainers.launch.interruption import Interrupted, interruptible
from trainers.launch.plan import ACCELERATE_FILE, ROOT, Plan, accelerate_settings, make_plan
from trainers.launch.preflight import check_counts, check_devices, check_surroundings
from trainers.launch.report import describe, devices
from trainers.launch.trainer import Trainer
from trainers.serving.servers import ServerError, ServerGroup

USER_ERROR = 2
SERVER_ERROR = 3
WATCH_INTERVAL_S = 0.5
logger = logging.getLogger("launch")


def main(arguments: Sequence[str]) -> int:
    """Launches a run; returns the trainer's exit status, 2 for a mistake of the user, 3 for a server that failed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", datefmt="%H:%M:%S")
    options = parse(arguments)
    try:
        with interruptible():
            return launch(options)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return USER_ERROR
    except ServerError as error:
        logger.error("%s", error)
        return SERVER_ERROR
    except Interrupted as error:
        logger.info("stopped by %s", error)
        return error.status


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The launcher's own options; everything else is configuration."""
    parser = argparse.ArgumentParser(prog="trainers.launch", description=__doc__, allow_abbrev=False)
    parser.add_argument("--servers", type=_count, required=True, metavar="V", help="GPUs for model servers")
    parser.add_argument("--trainers", type=_count, required=True, metavar="T", help="training processes, a GPU each")
    parser.add_argument("--dry-run", action="store_true", help="print what would be started, and start nothing")
    parser.add_argument(
        "--assume-gpus", type=_count, metavar="N", help="plan for a machine with N GPUs (with --dry-run)"
    )
    parser.add_argument("arguments", nargs="*", metavar="RECIPE | key=value | zero1 | zero2 | offload")
    options = parser.parse_intermixed_args(list(arguments))
    if options.assume_gpus is not None and not options.dry_run:
        parser.error("--assume-gpus plans for another machine, which only --dry-run can do")
    return options


def launch(options: argparse.Namespace) -> int:
    """Composes, checks, and then shows or runs."""
    machine = detect() if options.assume_gpus is None else assume(options.assume_gpus)
    composition = composed(options, machine)

    def plan_of(config: Mapping[str, Any]) -> Plan:
        return make_plan(config, machine, options.servers, options.trainers)

    if options.dry_run:
        return show(plan_of(composition.config), composition, machine)
    config, notes = settle(composition, check=lambda config: check_surroundings(plan_of(config)))
    for note in notes:
        logger.info("%s", note)
    return 0 if config is None else run(plan_of(config))


def composed(options: argparse.Namespace, machine: Machine) -> Composition:
    """The composition of a launch; problems of the configuration and of V and T are raised together."""
    problems = list(check_devices(machine, options.servers, options.trainers))
    try:
        composition = compose(options.arguments, machine, max(options.trainers, 1), options.servers or None)
    except ConfigurationError as error:
        raise ConfigurationError([*problems, *error.problems]) from None
    problems += check_counts(composition.config["experiment"], options.servers, options.trainers)
    if problems:
        raise ConfigurationError(problems)
    return composition


def show(plan: Plan, composition: Composition, machine: Machine) -> int:
    """Prints a plan. What only an assumed machine could answer is a warning."""
    problems = list(check_surroundings(plan))
    if problems and not machine.assumed:
        raise ConfigurationError(problems)
    notes = [*composition.notes, *(f"warning: {_line(problem)}" for problem in problems)]
    sys.stdout.write("\n".join([describe(plan), "", *notes, "Nothing was started (--dry-run).", ""]))
    return 0


def run(plan: Plan) -> int:
    """Starts servers and trainer, watches both, and stops what is left of them whatever happens."""
    write_accelerate(plan)
    for line in devices(plan):
        logger.info("%s", line)
    with ServerGroup(plan.servers, plan.output_dir) as servers:
        for server in servers.servers:
            logger.info("%s is up: curl %s/health  (log: %s)", server.spec.name, server.spec.base_url, server.log_path)
        with Trainer(plan.trainer) as trainer:
            while (status := trainer.status(WATCH_INTERVAL_S)) is None:
                servers.poll()
    logger.info("finished with status %d; output is in %s", status, plan.output_dir)
    return status


def write_accelerate(plan: Plan) -> None:
    """Writes the accelerate file of this run: the one of its DeepSpeed stage, with processes and precision set."""
    if plan.accelerate is None:
        return
    stage = ROOT / "accelerate" / f"deepspeed_{plan.config['deepspeed']}.yaml"
    settings = accelerate_settings(plan, yaml.safe_load(stage.read_text(encoding="utf-8")))
    (plan.output_dir / ACCELERATE_FILE).write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def _line(problem: Problem) -> str:
    return " ".join(str(problem).split())


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of GPUs (0, 1, 2 …)")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
