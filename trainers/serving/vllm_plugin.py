"""ATLAS's plugin for vLLM: weight-transfer engines, registered by name in every process that needs them.

vLLM finds it in two ways: by the entry point `vllm.general_plugins` of the installed package, or, in a checkout that
is not installed, by importing the module of `--worker-extension-cls`.
"""

from __future__ import annotations

from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

ENGINES = {
    "gloo": ("trainers.serving.gloo_engine", "MendableGlooEngine"),
    "mendable_nccl": ("trainers.serving.cuda_engines", "MendableNcclEngine"),
    "mendable_ipc": ("trainers.serving.cuda_engines", "MendableIpcEngine"),
}


def register() -> None:
    """Make them weight-transfer backends; harmless when repeated. An engine itself is imported on first use."""
    for name, (module, kind) in ENGINES.items():
        if name not in WeightTransferEngineFactory._registry:
            WeightTransferEngineFactory.register_engine(name, module, kind)


class WorkerExtension:
    """Adds nothing to the worker: naming it makes the worker import this module."""


register()
