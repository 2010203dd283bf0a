"""The machine: versions, driver, cards, and which of them reach each other."""

from __future__ import annotations

import importlib.metadata

import psutil
import torch

from scripts.gpu_check.context import CheckFailed, Context
from trainers.launch.estimates.gpu_memory import MEBIBYTE, cards
from trainers.launch.node.requirements import CUDA
from trainers.launch.node.software import installed
from trainers.serving.processes.vllm_entry import vllm_version

PACKAGES = ("torch", "transformers", "trl", "accelerate", "deepspeed", "peft")


def look(context: Context) -> None:
    """Keep versions and cards.

    Raises:
        CheckFailed: when the driver is too old, torch sees other GPUs than the driver, or nothing can be compiled.
    """
    software, machine = installed(), context.machine
    context.found(vllm=vllm_version("vllm"), **{name: importlib.metadata.version(name) for name in PACKAGES})
    context.found(cores=psutil.cpu_count() or 1, memory_gib=psutil.virtual_memory().total / 2**30)
    context.found(compiler=software.compiler, headers=software.headers, ninja=software.ninja, nvcc=software.nvcc)
    if machine.cpu_only:
        return
    context.found(driver=software.driver, cuda_of_driver=_dotted(software.cuda), cuda_of_torch=torch.version.cuda)
    context.found(
        cards=[torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        capabilities=[_dotted(capability) for capability in software.capabilities.values()],
        memory_mib=[card.total // MEBIBYTE for card in cards(machine).values()],
        nccl=_dotted(torch.cuda.nccl.version()),
        peers=[list(pair) for pair in peers(torch.cuda.device_count())],
    )
    if torch.cuda.device_count() != len(machine.gpus):
        raise CheckFailed(f"torch sees {torch.cuda.device_count()} GPUs, nvidia-smi {len(machine.gpus)}")
    if software.cuda is not None and software.cuda < CUDA:
        raise CheckFailed(f"the driver runs CUDA {_dotted(software.cuda)}, these builds need {_dotted(CUDA)}")
    if not (software.compiler and software.headers):
        raise CheckFailed("kernels cannot be built: install gcc and Python's headers")


def peers(count: int) -> list[tuple[int, int]]:
    """Return the pairs of GPUs that reach each other's memory directly."""
    pairs = [(first, second) for first in range(count) for second in range(first + 1, count)]
    return [(first, second) for first, second in pairs if torch.cuda.can_device_access_peer(first, second)]


def _dotted(version: object) -> str | None:
    return ".".join(map(str, version)) if isinstance(version, tuple) else None
