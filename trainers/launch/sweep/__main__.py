"""`python -m trainers.launch.sweep`: one run for each combination of values, and what they came to, side by side."""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

from trainers.configuration import ConfigurationError, Problem
from trainers.configuration.devices.machine import assume, detect
from trainers.configuration.settings.experiments import StudentExperiment
from trainers.launch.__main__ import composed
from trainers.launch.end_record import END_FILE
from trainers.launch.outcome import USER_ERROR
from trainers.launch.supervise.interruption import Interrupted, interruptible
from trainers.launch.sweep import search, slurm
from trainers.launch.sweep.comparison import compare
from trainers.launch.sweep.outcomes import begin, note_status
from trainers.launch.sweep.values import Run, Space, divided, extremes, runs_of
from trainers.output.lock import locked
from trainers.paths import ROOT
from trainers.terminal.log_lines import log_to_standard_error

logger = logging.getLogger("sweep")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sweep; return 0, 2 for a mistake of the user, or the status of the first run that failed."""
    log_to_standard_error()
    typed = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_intermixed_args(typed)
    try:
        with interruptible():
            return _sweep(options)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return USER_ERROR
    except Interrupted as error:
        return error.status


def _sweep(options: argparse.Namespace) -> int:
    fixed, space = divided(options.arguments)
    output = Path(options.output or f"results/sweep_{Path(options.arguments[0]).stem}")
    goal = _goal(options)
    runs = [] if goal else runs_of(space, output)
    tasks = options.trials if goal else len(runs)
    _check_number(options, tasks)
    first_port = check(extremes(space, output) if goal else runs, fixed, options)
    if options.slurm is not None:
        return _submit(options, output, tasks)
    fixed += own_ports(first_port, options.only or 0, options.servers)
    # One run of a sweep, as the jobs of an array start them, runs beside the others: each locks its own directory.
    with locked(output) if options.only is None else nullcontext():
        try:
            if goal is None:
                return start(runs, fixed, options)
            return _search(space, output, goal, fixed, options)
        finally:
            # Also of a sweep that is interrupted: some of its runs have ended.
            ended = runs if goal is None else search.runs_tried(space, output, goal)
            if ended:
                compare(ended, output)


def _goal(options: argparse.Namespace) -> search.Goal | None:
    """Return what a search is after, `None` for a sweep over all combinations.

    Raises:
        ConfigurationError: when a search has no goal, two, or no number of trials.
    """
    goals = list(search.goals(options.maximize, options.minimize))
    if options.trials is None and not goals:
        return None
    if options.trials is None or options.trials < 1 or len(goals) != 1:
        remedy = "for example --trials 20 --maximize taught; columns of sweep.md can be named"
        raise ConfigurationError(
            [Problem("a search", "expected --trials N with N >= 1, and --maximize or --minimize a figure", remedy)]
        )
    search.check_installed()
    return goals[0]


def _check_number(options: argparse.Namespace, tasks: int) -> None:
    if options.only is not None and not 0 <= options.only < tasks:
        expected = f"there are {tasks} runs, counted from 0"
        raise ConfigurationError([Problem(f"--only {options.only}", expected, f"give 0 to {tasks - 1}")])


def check(runs: Iterable[Run], fixed: Sequence[str], options: argparse.Namespace) -> int:
    """Compose all runs before the first one starts; return the port of their first server, 0 where they have none.

    What an array runs on is not known where it is submitted: there, the GPUs asked for are taken to exist.

    Raises:
        ConfigurationError: with what is wrong with any of them, each problem once.
    """
    machine = detect() if options.slurm is None else assume(options.servers + options.trainers)
    problems: dict[Problem, None] = {}
    port = 0
    for run in runs:
        try:
            composition = composed(argparse.Namespace(**{**vars(options), "arguments": run.arguments(fixed)}), machine)
            if not port and isinstance(composition.config, StudentExperiment):
                port = composition.config.serving.vllm_port
        except ConfigurationError as error:
            problems |= dict.fromkeys(error.problems)
    if problems:
        raise ConfigurationError(problems)
    return port


def own_ports(first: int, number: int, servers: int) -> list[str]:
    """Return the key that gives a run's servers ports of their own: tasks of an array may share a node."""
    return [f"vllm_port={first + number * servers}"] if number * servers else []


def start(runs: Sequence[Run], fixed: Sequence[str], options: argparse.Namespace) -> int:
    """Launch one run after another, or the one that is asked for; one that fails does not keep others from running."""
    first = 0
    for number, run in enumerate(runs):
        if options.only in (None, number):
            logger.info("run %d of %d: %s", number + 1, len(runs), run.name)
            status = launched(run, fixed, options)
            first = first or status
    return first


def launched(run: Run, fixed: Sequence[str], options: argparse.Namespace) -> int:
    """Launch a run and return its status."""
    places = ["--servers", str(options.servers), "--trainers", str(options.trainers)]
    quick = ["--no-preflight"] if options.no_preflight else []
    command = [sys.executable, "-m", "trainers.launch", *places, *quick, *run.arguments(fixed)]
    environment = {**os.environ, END_FILE: str(begin(run).absolute())}
    process = subprocess.Popen(command, env=environment)
    try:
        with process:
            _wait_for(process)
    finally:
        note_status(run, process.returncode)
    if process.returncode:
        logger.error("%s ended with status %d", run.name, process.returncode)
    return process.returncode


def _wait_for(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait()
    except Interrupted as error:
        process.send_signal(error.number)
        raise


def _search(space: Space, output: Path, goal: search.Goal, fixed: Sequence[str], options: argparse.Namespace) -> int:
    at_most = options.trials if options.only is None else 1
    seed = (options.search_seed, options.only or 0)
    return search.search(space, output, goal, options.trials, seed, lambda run: launched(run, fixed, options), at_most)


def _submit(options: argparse.Namespace, output: Path, tasks: int) -> int:
    slurm.check_installed()
    searched = ["--trials", str(options.trials), "--search-seed", str(options.search_seed)] if options.trials else []
    for name in ("maximize", "minimize"):
        if getattr(options, name) is not None:
            searched += [f"--{name}", getattr(options, name)]
    places = [str(options.servers), str(options.trainers)]
    quick = ["--no-preflight"] if options.no_preflight else []
    command = [*places, *options.arguments, "--output", str(output.absolute()), *searched, *quick]
    output.mkdir(parents=True, exist_ok=True)
    script = output / slurm.SCRIPT
    script.write_text(slurm.batch_script(ROOT, command, output, options.slurm), encoding="utf-8")
    logger.info("%s, of %d tasks by %s", slurm.submit(script, tasks), tasks, script)
    logger.info("each task that ends writes %s anew", output / "sweep.md")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="trainers.launch.sweep", description=__doc__, allow_abbrev=False)
    parser.add_argument("--servers", type=int, required=True, metavar="V", help="GPUs for model servers")
    parser.add_argument("--trainers", type=int, required=True, metavar="T", help="training processes, a GPU each")
    parser.add_argument("--output", metavar="DIR", help="where all runs, table and plot go")
    parser.add_argument("--only", type=int, metavar="I", help="start only the run of this number, from 0")
    parser.add_argument("--trials", type=int, metavar="N", help="search: launch N runs with values that Optuna chooses")
    parser.add_argument("--maximize", metavar="FIGURE", help="what the search is after: a column of the table")
    parser.add_argument("--minimize", metavar="FIGURE", help="the same, where less is better")
    parser.add_argument("--search-seed", type=int, default=0, metavar="S", help="of the search itself (default 0)")
    parser.add_argument("--no-preflight", action="store_true", help="as a launch has it: do not load data before it")
    parser.add_argument("--slurm", metavar="OPTIONS", help="submit an array, a task for each run, with these of sbatch")
    parser.add_argument("arguments", nargs="+", metavar="RECIPE | key=a,b,c | key=value")
    return parser


if __name__ == "__main__":
    sys.exit(main())
