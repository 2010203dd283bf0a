"""The needs of a plan beyond GPUs and memory, against what its machine has. Pure."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from trainers.configuration.devices.machine import Machine
from trainers.configuration.settings.experiments import GRPOExperiment, TrainingExperiment
from trainers.launch.node.software import Capability, Software
from trainers.launch.plan import LaunchPlan
from trainers.problems import Problem
from trainers.serving.server_spec import ServerSpec

CUDA = (13, 0)
"""The CUDA of the locked builds of torch and vLLM: any driver for this major version runs them."""
DRIVER = 580
"""NVIDIA's first driver for that."""
OLDEST = (7, 5)
"""Compute capability below which CUDA 13 has no code: V100 and older."""
AMPERE = (8, 0)
"""Compute capability from which there are bfloat16 and tf32."""
BLACKWELL = (10, 0)
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
WITHOUT_BUILDING = ("--attention-backend", "FLASH_ATTN")
"""Arguments of a server that leaves FlashInfer alone, which builds its kernels on the machine."""


def machine_problems(plan: LaunchPlan, machine: Machine, software: Software) -> Iterator[Problem]:
    """Yield what this machine lacks for a plan."""
    if machine.cpu_only:
        if software.stack == "gpu" and plan.servers:
            yield _no_gpu()
        return
    if software.stack == "cpu":
        expected = "the CPU builds of torch and vLLM are installed, which know no GPU"
        remedy = f"hide the GPUs: export CUDA_VISIBLE_DEVICES= ; or install the GPU stack: {_install()}"
        yield Problem(f"{len(machine.gpus)} GPUs", expected, remedy)
        return
    yield from _driver(software)
    yield from _building(software)
    if _offloads(plan) and not software.ninja:
        expected = "DeepSpeed builds its optimizer for the CPU with ninja, which is not on the PATH"
        yield Problem("deepspeed=zero3_cpu_offloading", expected, "pip install ninja")
    yield from _capabilities(plan, software)


def machine_warnings(plan: LaunchPlan, machine: Machine, software: Software) -> Iterator[str]:
    """Yield what a plan may do without on this machine."""
    if machine.cpu_only and software.stack == "gpu" and not plan.servers:
        problem = _no_gpu()
        yield f"{problem.given}: {problem.expected}; this run has no servers and trains on the CPU. → {problem.remedy}"


def server_arguments(spec: ServerSpec, software: Software) -> tuple[str, ...]:
    """Return the arguments that a server needs on this machine.

    On Blackwell vLLM prefers FlashInfer, which fails at the first request where it cannot build its kernels.
    """
    newest = max((software.capabilities.get(gpu, (0, 0)) for gpu in spec.gpus), default=(0, 0))
    return WITHOUT_BUILDING if newest >= BLACKWELL and not software.compiles_cuda else ()


def _no_gpu() -> Problem:
    expected = "the GPU stack is installed, and nvidia-smi lists no GPU that is visible: its servers need one"
    remedy = f"mend the driver or CUDA_VISIBLE_DEVICES, or install the CPU stack beside it: {_install()} --cpu"
    return Problem("no GPU", expected, remedy)


def _install() -> str:
    return f"bash scripts/install_py3{sys.version_info.minor}.sh"


def _driver(software: Software) -> Iterator[Problem]:
    if software.cuda is not None and software.cuda < CUDA:
        runs = ".".join(map(str, software.cuda))
        expected = f"it runs CUDA {runs}, and these builds of torch and vLLM need {CUDA[0]}: driver {DRIVER} or newer"
        yield Problem(f"NVIDIA driver {software.driver}", expected, f"update it to {DRIVER} or newer")


def _building(software: Software) -> Iterator[Problem]:
    if not software.compiler:
        expected = "servers and trainers build Triton's launcher at first use, and there is no C compiler"
        yield Problem("gcc", expected, f"apt-get install gcc g++ {PYTHON}-dev, or set CC to a compiler")
    if not software.headers:
        expected = f"servers and trainers build Triton's launcher at first use, and {PYTHON} has no headers here"
        yield Problem("Python.h", expected, f"apt-get install {PYTHON}-dev")


def _offloads(plan: LaunchPlan) -> bool:
    return isinstance(plan.config, TrainingExperiment) and plan.config.training.deepspeed == "zero3_cpu_offloading"


def _capabilities(plan: LaunchPlan, software: Software) -> Iterator[Problem]:
    used = {gpu for spec in plan.servers for gpu in spec.gpus} | set(plan.trainer_gpus)
    known = {gpu: software.capabilities[gpu] for gpu in sorted(used, key=str) if gpu in software.capabilities}
    for gpu, capability in known.items():
        if capability < OLDEST:
            expected = f"CUDA {CUDA[0]} has no code for it, only from {_written(OLDEST)} on"
            yield Problem(f"GPU {gpu} of compute capability {_written(capability)}", expected, "use a newer GPU")
            return
    oldest = min(known.values(), default=AMPERE)
    changes = without_bfloat16(plan) if oldest < AMPERE else {}
    if changes:
        which = ", ".join(str(gpu) for gpu, capability in known.items() if capability < AMPERE)
        expected = f"it has neither bfloat16 nor tf32, which are there from {_written(AMPERE)} on"
        remedy = f"write {' '.join(f'{key}={value}' for key, value in changes.items())}"
        yield Problem(f"GPU {which} of compute capability {_written(oldest)}", expected, remedy)


def without_bfloat16(plan: LaunchPlan) -> dict[str, str]:
    """Return the keys to change, with their values, for cards that have neither bfloat16 nor tf32."""
    config = plan.config
    changes: dict[str, str] = {}
    if isinstance(config, TrainingExperiment):
        changes |= {"dtype": "float16"} if config.model.dtype == "bfloat16" else {}
        changes |= {"bf16": "false", "fp16": "true"} if config.trainer.bf16 else {}
        changes |= {"tf32": "null"} if config.trainer.tf32 else {}
    trained = isinstance(config, GRPOExperiment) and config.teacher.dtype == "auto"
    for spec in plan.servers:
        # A trained teacher's server takes the precision of `dtype`.
        if spec.dtype == "bfloat16" and not (spec.role == "teacher" and trained):
            changes[spec.key("dtype")] = "float16"
    return changes


def _written(capability: Capability) -> str:
    return ".".join(map(str, capability))
