"""Checks before anything starts: numbers, files, ports, keys, and then models, data, memory and disk.

`check_surroundings` takes milliseconds. `examine` loads tokenizers and data, in a process of its own.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from trainers.configuration import ConfigurationError, Problem, server_layout
from trainers.configuration.checks.files import all_local, missing_paths
from trainers.configuration.devices.machine import Machine
from trainers.configuration.settings.experiments import EVALUATION, PROMPT_SEARCH, SFT, Experiment, StudentExperiment
from trainers.launch.checks.credentials import missing_credentials
from trainers.launch.checks.inspection import CONFIG_FILE, FINDINGS_FILE, Findings
from trainers.launch.checks.judges import judge_warnings
from trainers.launch.checks.trained_on import trained_on
from trainers.launch.estimates.cpu_cache import cache_warnings
from trainers.launch.estimates.disk import disk_problems
from trainers.launch.estimates.memory_fit import Cards, host_warnings, memory_warnings, trained_shape
from trainers.launch.estimates.steps_and_tokens import number
from trainers.launch.plan import LaunchPlan
from trainers.launch.supervise.process import Process
from trainers.serving.processes.command import Command
from trainers.serving.processes.readiness import served_models
from trainers.serving.processes.server_group import is_elsewhere, unavailable_ports
from trainers.serving.run_token import TokenRefused
from trainers.serving.server_spec import ServerSpec

INSPECTION = "trainers.launch.checks.inspection"
WATCH_INTERVAL_S = 0.2
PROGRESS_INTERVAL_S = 20.0
logger = logging.getLogger("launch")


def check_counts(experiment: str, servers: int, trainers: int) -> Iterator[Problem]:
    """Yield a problem where V or T does not suit the experiment."""
    given = _given(servers, trainers)
    if experiment == SFT and servers:
        yield Problem(given, "SFT needs no servers", f"scripts/launch.sh {max(trainers, 1)} RECIPE")
    trains = experiment not in (EVALUATION, PROMPT_SEARCH)
    if not trains and trainers:
        yield Problem(
            given, "an evaluation trains nothing", f"scripts/launch_with_server.sh {max(servers, 1)} 0 RECIPE"
        )
    if trains and not trainers:
        yield Problem(given, f"{experiment} needs at least one training GPU (or CPU process)", "give a number above 0")


def check_devices(machine: Machine, servers: int, trainers: int, hosts: int = 1) -> Iterator[Problem]:
    """Yield a problem when the machine, or all hosts together, lack V + T GPUs, or, without any GPU, T cores.

    One card may hold one server slot and one trainer together.
    """
    given = _given(servers, trainers)
    plan = "to plan for another machine add --dry-run --assume-gpus N"
    cores = (os.cpu_count() or 1) * hosts
    if machine.cpu_only:
        if trainers > cores:
            where = "this machine has" if hosts == 1 else f"{hosts} hosts like this one have"
            expected = f"{where} no GPU, and {cores} CPU cores for as many processes"
            yield Problem(given, expected, f"give at most {cores} processes; {plan}")
        return
    shared = servers == trainers == len(machine.gpus) == hosts == 1
    if servers + trainers > len(machine.gpus) and not shared:
        found = f"{'assumed' if machine.assumed else 'visible'}{f' on {hosts} hosts' if hosts > 1 else ''}"
        expected = f"{servers + trainers} GPUs are needed, of {len(machine.gpus)} {found}"
        more = "widen CUDA_VISIBLE_DEVICES" if hosts == 1 else "name more hosts"
        yield Problem(given, expected, f"lower the numbers, or {more}; {plan}")


def _given(servers: int, trainers: int) -> str:
    return f"{servers} server GPUs, {trainers} training GPUs"


def check_surroundings(plan: LaunchPlan) -> Iterator[Problem]:
    """Yield the problems that only the machine at hand shows, and shows at once: files, keys and logins, ports."""
    yield from missing_paths(plan.config)
    yield from missing_credentials(plan.config)
    if isinstance(plan.config, StudentExperiment):
        yield from _ports(plan, plan.config)


def _ports(plan: LaunchPlan, config: StudentExperiment) -> Iterator[Problem]:
    taken = unavailable_ports(plan.servers)
    if any(is_elsewhere(spec) for spec in taken):
        expected = "servers are started on this machine, and it has no such address"
        remedy = "leave vllm_host out; servers that already run elsewhere are used by scripts/launch.sh T RECIPE"
        yield Problem(f"vllm_host={config.serving.vllm_host}", expected, remedy)
    elif taken:
        listed = ", ".join(f"{spec.port} ({spec.name})" for spec in taken)
        remedy = "stop what listens there, or choose another: vllm_port=…"
        yield Problem(f"vllm_port={config.serving.vllm_port}", f"already in use: {listed}", remedy)
    # In a run on several hosts the servers that others start come up together with these.
    if plan.servers or plan.part is not None:
        return
    yield from _running(server_layout(config))


def _running(specs: Sequence[ServerSpec]) -> Iterator[Problem]:
    """Yield a problem for servers that should run already and do not answer, or do not serve the model expected."""
    try:
        found = {spec: served_models(spec.base_url) for spec in specs}
    except TokenRefused as refused:
        yield refused.problem
        return
    except ConfigurationError:
        return  # the token in the environment is none, which is told with the credentials
    silent = [spec for spec, models in found.items() if models is None]
    if silent:
        listed = ", ".join(f"{spec.base_url} ({spec.name})" for spec in silent)
        remedy = "let scripts/launch_with_server.sh start them, or set vllm_host and vllm_port to where they run"
        yield Problem("servers", f"no server answers at {listed}", remedy)
    for spec, models in found.items():
        if models is not None and spec.model not in models:
            expected = f"{spec.base_url} ({spec.name}) serves {', '.join(models)}"
            remedy = f"start it with --served-model-name {spec.model}, or name the model that it serves"
            yield Problem(f"{spec.name}: {spec.model}", expected, remedy)


def examine(plan: LaunchPlan, cards: Cards) -> Findings:
    """Return what a look at models, data, memory and disk finds, all problems at once; too little memory only warns."""
    logger.info("preflight: models, tokenizers and data are looked at before anything starts (some seconds)")
    start = time.monotonic()
    found = inspected(plan.config)
    shape = trained_shape(plan.config, found.shapes)
    problems = (*found.problems, *disk_problems(plan.config, shape))
    warnings = (
        *trained_on(plan.config),
        *judge_warnings(plan.config),
        *found.warnings,
        *memory_warnings(plan, found.shapes, cards),
        *host_warnings(plan, found.shapes, psutil.virtual_memory().total),
        *cache_warnings(plan.servers, found.shapes, psutil.virtual_memory().available),
    )
    outcome = number(len(problems), "problem") if problems else "all is well"
    logger.info("preflight: %s after %.1f s", outcome, time.monotonic() - start)
    return replace(found, problems=problems, warnings=warnings)


def inspected(config: Experiment) -> Findings:
    """Run `trainers.launch.checks.inspection` in its own process and return its findings, or a problem when it fails.

    Its progress appears on our standard error.
    """
    with tempfile.TemporaryDirectory(prefix="atlas-preflight-") as name:
        directory = Path(name)
        (directory / CONFIG_FILE).write_text(json.dumps(config.flat()), encoding="utf-8")
        environment = {"TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": ""}
        environment |= {"HF_HUB_OFFLINE": "1"} if all_local(config) else {}
        command = Command((sys.executable, "-m", INSPECTION, name), environment)
        with Process(command, "preflight", log=directory / "log") as process:
            status = _waited(process)
        if status == 0 and (directory / FINDINGS_FILE).is_file():
            return Findings.load(directory / FINDINGS_FILE)
        return Findings((_broken(status, process.tail),))


def _waited(process: Process) -> int:
    start = time.monotonic()
    told = start
    while (status := process.status(WATCH_INTERVAL_S)) is None:
        if time.monotonic() - told > PROGRESS_INTERVAL_S:
            told = time.monotonic()
            logger.info("preflight: still at it after %.0f s", told - start)
    return status


def _broken(status: int, tail: str) -> Problem:
    last = " ".join(tail.strip().splitlines()[-1:]) or "(it wrote nothing)"
    remedy = "the output above shows where; --no-preflight starts without this look, if it is not the run's own fault"
    return Problem("preflight", f"it ended with status {status}: {last}", remedy)
