"""The servers' end of `custom_transport`. It is a file of its own because it needs vLLM, which the trainer does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from safetensors.torch import load_file
from vllm.distributed.weight_transfer.base import WeightTransferInitInfo, WeightTransferUpdateInfo

from trainers.serving.weights.worker.gloo_engine import GlooReceiver
from trainers.serving.weights.worker.reloading import MendableEngine


@dataclass
class FileInitInfo(WeightTransferInitInfo):
    """Nothing has to be known before the first update."""


@dataclass
class FileUpdateInfo(WeightTransferUpdateInfo):
    """Where the new weights lie, in safetensors."""

    path: str


class FileReceiver(GlooReceiver):
    """Loads the weights of a file. Opening and closing an update of a model on the CPU is as for gloo."""

    init_info_cls = FileInitInfo  # type: ignore[assignment]
    update_info_cls = FileUpdateInfo  # type: ignore[assignment]

    def init_transfer_engine(self, init_info: Any) -> None:
        """Nothing to join."""

    def receive_weights(self, update_info: Any) -> None:
        """Load the file of an update."""
        model: Any = self.model
        model.load_weights(load_file(update_info.path).items())


class FileEngine(MendableEngine, FileReceiver):
    """Receives weights by file; updates that fail can be repeated."""
