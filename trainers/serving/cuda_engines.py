"""vLLM's weight-transfer engines for GPUs, made to leave a model that the next update can start on. Run in its worker.

An update that fails leaves vLLM's own with layers that hold a part of it. The next one goes on filling these, takes
them for complete too early, and drops the rest: weights are wrong then, and nobody is told.
"""

from __future__ import annotations

from typing import Any

from vllm.distributed.weight_transfer.base import WeightTransferEngine
from vllm.distributed.weight_transfer.ipc_engine import IPCWeightTransferEngine
from vllm.distributed.weight_transfer.nccl_engine import NCCLWeightTransferEngine


class _CompletedOnFailure(WeightTransferEngine[Any, Any]):
    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Receive and load one part of an update; one that fails is completed with whatever it has."""
        try:
            super().update_weights(update_info)
        except BaseException:
            # vLLM ends the session here, after which it refuses to finish it.
            self.finish_weight_update()
            raise


class MendableNcclEngine(_CompletedOnFailure, NCCLWeightTransferEngine):
    """Receives weights by NCCL broadcast."""


class MendableIpcEngine(_CompletedOnFailure, IPCWeightTransferEngine):
    """Receives weights through CUDA handles."""
