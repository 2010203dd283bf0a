"""ATLAS's plugin for vLLM: weight-transfer engines, registered by name in every process that needs them.

vLLM finds it in two ways: by the entry point `vllm.general_plugins` of the installed package, or, in a checkout that
is not installed, by importing the module of `--worker-extension-cls`.
"""

from __future__ import annotations

import os

from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

from trainers.dotted_path import resolve
from trainers.serving.weights.transports import OWN_TRANSPORT, TRANSPORTS


def engines() -> dict[str, str]:
    """Return the dotted paths of engines by backend: ours, and that of the transport that the environment names."""
    found = {entry.backend: entry.engine for entry in TRANSPORTS.values() if entry.engine is not None}
    own = os.environ.get(OWN_TRANSPORT)
    return found | ({own: resolve(own).engine} if own else {})


def register() -> None:
    """Make them weight-transfer backends; harmless when repeated. An engine itself is imported on first use."""
    for backend, path in engines().items():
        if backend not in WeightTransferEngineFactory._registry:
            module, _, kind = path.rpartition(".")
            WeightTransferEngineFactory.register_engine(backend, module, kind)


class WorkerExtension:
    """Adds nothing to the worker: naming it makes the worker import this module."""


register()
