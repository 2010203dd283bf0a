"""What ATLAS adds to vLLM: the gloo weight-transfer engine, registered by name in every process that needs it.

vLLM finds it in two ways: by the entry point `vllm.general_plugins` of the installed package, or, in a checkout that
is not installed, by importing the module of `--worker-extension-cls`.
"""

from __future__ import annotations

from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory


def register() -> None:
    """Make `gloo` a weight-transfer backend; harmless when repeated. The engine itself is imported on first use."""
    if "gloo" not in WeightTransferEngineFactory._registry:
        WeightTransferEngineFactory.register_engine("gloo", "trainers.serving.gloo_engine", "GlooWeightTransferEngine")


class WorkerExtension:
    """Adds nothing to the worker: naming it makes the worker import this module."""


register()
