"""A plan that runs: its servers and its trainer, watched side by side, and what is said of how they ended."""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from functools import partial

import yaml

from trainers.configuration.resume.decision import STOP, STOP_ROLLOUT, is_finished
from trainers.configuration.settings.experiments import GRPOExperiment, StudentExperiment, TrainingExperiment
from trainers.launch.end_record import last_error, record_end
from trainers.launch.hosts.company import ALONE, Company
from trainers.launch.hosts.endings import ServersElsewhere
from trainers.launch.plan import ACCELERATE_FILE, LaunchPlan, accelerate_settings
from trainers.launch.report import devices
from trainers.launch.supervise.failure_hints import trainer_hints
from trainers.launch.supervise.interruption import Request, deferring, end_at_once
from trainers.launch.supervise.preemption import made_room, make_room
from trainers.launch.supervise.process import Process
from trainers.launch.supervise.ranks import FAILURE_FILE, recorded_failure
from trainers.launch.supervise.screen import Screen, screen_shown
from trainers.launch.supervise.spared_servers import goes_on_without, max_restarts
from trainers.output.checkpoints import newest_whole
from trainers.output.files import told
from trainers.output.loading import LOADING, LOADING_FILE, noted_as_loading
from trainers.paths import resource
from trainers.serving.processes.command import Command
from trainers.serving.processes.server_group import ServerError, ServerGroup
from trainers.serving.server_records import records_file

STOPPED_EARLY = 4
"""Exit status of a training that has steps left."""
WATCH_INTERVAL_S = 0.5
SILENCE_S = 5.0
"""Seconds without a sign of life from a trainer that starts, after which the launcher gives one."""
WAITING_TOLD_EVERY_S = 60.0
"""Seconds between lines about servers that are waited for, beside a display of the time."""
SAVING_GRACE_S = 1800.0
"""Seconds that a trainer which lost a server may take for the rest of its step and a checkpoint."""
LOST_GRACE_S = 25.0
"""Seconds that it may take where another host's servers are gone: the whole run ends within a minute."""
TRAINER_LOG = "trainer.log"
logger = logging.getLogger("launch")


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
    loading = plan.file(LOADING)
    told_files = {FAILURE_FILE: str(failure.absolute()), LOADING_FILE: str(loading.absolute())}
    command = Command(plan.trainer.argv, {**plan.trainer.env, **told_files})
    with screen_shown() as screen, _servers_of(plan, screen) as servers, others.told_why():
        for server in servers.servers:
            logger.info("%s is up: curl %s/health  (log: %s)", server.spec.name, server.spec.base_url, server.log_path)
        others.servers_up(servers.poll)
        if not plan.runs_program:
            return others.serve(servers)
        log = plan.file(TRAINER_LOG)
        logger.info("starting the trainer, which loads libraries, model and data first  (log: %s)", log)
        if screen is not None:
            screen.tell({"stage": "starting the trainer"})
        # What cannot save goes on where it stopped: it ends at once.
        noting = deferring() if isinstance(plan.config, TrainingExperiment) else nullcontext(Request())
        with noted_as_loading(loading), noting as request, Process(command, "trainer", log, screen) as trainer:
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
            it had trained, and that could be done.
        Interrupted: when it is asked to make room while it loads.
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
            if not request.made:
                # Slurm asks servers, too: those that end by that are not to be restarted.
                servers.poll()
            others.look(request)
        except ServerError as error:
            if not isinstance(plan.config, GRPOExperiment) or plan.file(LOADING).exists():
                raise
            grace_s = LOST_GRACE_S if isinstance(error, ServersElsewhere) else SAVING_GRACE_S
            status = saved(plan, error.why, trainer, request, grace_s)
            if status == 0 and not stopped_early(plan):
                return 0
            if not request.made:
                _say_how_to_continue(plan)
                raise
    others.look(request)
    assert request.signal is not None
    if plan.file(LOADING).exists():
        logger.warning("nothing is trained yet, and so nothing is saved")
        end_at_once(request.signal)
    return make_room(plan.output_dir, trainer, (*servers.in_use(), *others.servers()), request, _save_grace_s(plan))


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
        record_end(STOPPED_EARLY, "stopped early", plan.file(TRAINER_LOG))
        return STOPPED_EARLY
    if not status:
        logger.info("finished; output is in %s", plan.output_dir)
        return 0
    logger.error("the trainer failed with status %d; what it wrote is in %s", status, plan.file(TRAINER_LOG))
    hints = list(trainer_hints(status, tail, plan.config))
    for hint in hints:
        logger.error("%s", hint)
    record_end(status, next(iter(hints), last_error(tail) or "the trainer failed"), plan.file(TRAINER_LOG))
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
