"""A launch as data: servers, devices, command lines. Nothing is started here, so that it can be shown and tested."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.configuration import server_layout
from trainers.configuration.checks.files import all_local
from trainers.configuration.computed_keys import shares_gpu
from trainers.configuration.devices.machine import Machine
from trainers.configuration.settings.experiments import (
    Experiment,
    GRPOExperiment,
    StudentExperiment,
    TrainingExperiment,
)
from trainers.configuration.settings.runs.trainer import TrainerSettings
from trainers.paths import ROOT
from trainers.serving.interfaces import GLOO, LOOPBACK, gloo_at
from trainers.serving.processes.command import Command
from trainers.serving.processes.cuda_devices import cuda_devices
from trainers.serving.server_spec import Gpu, ServerSpec

AGENT = "trainers.launch.supervise.accelerate_agent"
ACCELERATE_FILE = "accelerate.yaml"


@dataclass(frozen=True)
class HostPart:
    """The part that one host has in a run on several.

    Args:
        host: its name.
        index: its place among the hosts, from 0.
        ranks: the training processes that it starts, by their ranks in the whole run.
        runs: whether it starts the program of the experiment: training processes, or an evaluation.
        logs_as: between the name and the ending of its files in the output directory, which all hosts share.
    """

    host: str
    index: int
    ranks: range
    runs: bool
    logs_as: str = ""


@dataclass(frozen=True)
class LaunchPlan:
    """Everything a launch starts. `trainer_gpus` is empty on the CPU and for evaluations.

    `part` is the part of this host in a run on several, `None` where it starts all of a run.
    """

    config: Experiment
    servers: tuple[ServerSpec, ...]
    trainer_gpus: tuple[Gpu, ...]
    trainer: Command
    accelerate: Mapping[str, Any] | None
    part: HostPart | None = None

    @property
    def ranks(self) -> range:
        """The training processes that this launch starts."""
        if self.part is not None:
            return self.part.ranks
        return range(self.config.training.processes if isinstance(self.config, TrainingExperiment) else 0)

    @property
    def runs_program(self) -> bool:
        """True where this launch starts the program of the experiment, and not servers alone."""
        return self.part is None or self.part.runs

    def file(self, name: str) -> Path:
        """Return this launch's own file of a name in the output directory."""
        path = Path(name)
        return self.output_dir / f"{path.stem}{self.part.logs_as if self.part else ''}{path.suffix}"

    @property
    def output_dir(self) -> Path:
        """Where the run writes."""
        return Path(self.config.output.output_dir)


def is_agent(command: Command) -> bool:
    """Return whether a command runs accelerate's agent, a process that holds the ranks and trains nothing itself."""
    return AGENT in command.argv


def make_plan(config: Experiment, machine: Machine, servers: int, trainers: int) -> LaunchPlan:
    """Place V server slots on the first GPUs and T trainers on the next ones, or all on the one GPU there is."""
    shared = servers > 0 and trainers > 0 and shares_gpu(config, machine)
    server_gpus = machine.gpus[:servers]
    trainer_gpus = server_gpus if shared else machine.gpus[servers : servers + trainers]
    layout: tuple[ServerSpec, ...] = ()
    if servers and isinstance(config, StudentExperiment):
        layout = server_layout(config, server_gpus, shared)
    return LaunchPlan(
        config=config,
        servers=layout,
        trainer_gpus=trainer_gpus,
        trainer=trainer_command(config, machine, trainer_gpus, _processes(config)),
        accelerate=accelerate_differences(config, machine) if isinstance(config, TrainingExperiment) else None,
    )


def trainer_command(
    config: Experiment,
    machine: Machine,
    gpus: tuple[Gpu, ...],
    processes: int,
    accelerate_file: str = ACCELERATE_FILE,
    address: str = LOOPBACK,
) -> Command:
    """Return the command that runs the experiment, with as many of its processes as belong on this machine.

    They speak to each other, and to those of other hosts, at this address.
    """
    output_dir = Path(config.output.output_dir).absolute()
    program = (str(ROOT / "train.py"), f"--config-path={output_dir}", "--config-name=config")
    environment = _environment(config, machine, gpus, processes)
    if not isinstance(config, TrainingExperiment):
        return Command((sys.executable, *program), environment)
    if GLOO not in os.environ:
        environment |= gloo_at(address)
    launcher = (sys.executable, "-m", AGENT, "--config_file", str(output_dir / accelerate_file))
    return Command((*launcher, *program), environment)


def _processes(config: Experiment) -> int:
    return config.training.processes if isinstance(config, TrainingExperiment) else 1


def _environment(config: Experiment, machine: Machine, gpus: tuple[Gpu, ...], processes: int) -> dict[str, str]:
    # torch announces its own deprecations once per rank and call.
    quiet = "ignore::FutureWarning:torch.distributed.c10d_logger"
    environment = {"TOKENIZERS_PARALLELISM": "false", "PYTHONWARNINGS": quiet, "TRL_EXPERIMENTAL_SILENCE": "1"}
    if machine.cpu_only:
        environment |= {
            "DS_ACCELERATOR": "cpu",
            "OMP_NUM_THREADS": threads(processes),
            # Threads that spin while they wait take the cores from the servers: a step is then ten times slower.
            "OMP_WAIT_POLICY": "PASSIVE",
        }
    elif gpus:
        environment |= cuda_devices(gpus) | _beside_gpus(config, processes)
    if all_local(config):
        environment["HF_HUB_OFFLINE"] = "1"
    return environment


def threads(processes: int) -> str:
    """Return the threads of a process on the CPU's cores: the user's number, or an equal share of them."""
    return os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))


def _beside_gpus(config: Experiment, processes: int) -> dict[str, str]:
    """Return what trainers on GPUs need besides seeing them."""
    environment: dict[str, str] = {}
    if isinstance(config, TrainingExperiment) and config.training.deepspeed == "zero3_cpu_offloading":
        # The optimizer runs on the CPU, for which accelerate's launcher would leave each process a single thread.
        environment["OMP_NUM_THREADS"] = threads(processes)
    if isinstance(config, GRPOExperiment) and config.rollouts.weight_transfer == "ipc":
        environment |= without_expandable_segments(os.environ)
    return environment


def without_expandable_segments(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of torch's allocator, where set, less the segments whose memory CUDA IPC may not show.

    A server takes them by a system call that containers forbid.
    """
    changed = {}
    for name in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"):
        options = environment.get(name, "").split(",")
        kept = [option for option in options if not option.strip().lower().startswith("expandable_segments:true")]
        if kept != options:
            changed[name] = ",".join(kept)
    return changed


def accelerate_differences(config: TrainingExperiment, machine: Machine) -> dict[str, Any]:
    """Return the settings in which this run differs from accelerate/deepspeed_STAGE.yaml."""
    precision = "bf16" if config.trainer.bf16 else "fp16" if config.trainer.fp16 else "no"
    return {
        "num_processes": config.training.processes,
        "use_cpu": machine.cpu_only,
        "mixed_precision": precision,
        "main_process_port": 0,  # any free one: several runs may share a machine
    }


def accelerate_settings(trainer: TrainerSettings, own: Mapping[str, Any], stage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the accelerate file of a run.

    Args:
        trainer: the arguments of its trainer.
        own: the settings in which it differs from its DeepSpeed stage, as its plan has them.
        stage: the file of that stage.
    """
    deepspeed = stage["deepspeed_config"] | {
        "gradient_accumulation_steps": trainer.gradient_accumulation_steps,
        "gradient_clipping": trainer.max_grad_norm,
    }
    return {**stage, **own, "deepspeed_config": deepspeed}
