"""vLLM's weight-transfer engines for GPUs, made to survive an update that fails. Run in its worker."""

from __future__ import annotations

from vllm.distributed.weight_transfer.ipc_engine import IPCWeightTransferEngine
from vllm.distributed.weight_transfer.nccl_engine import NCCLWeightTransferEngine

from trainers.serving.weights.worker.reloading import MendableEngine


class MendableNcclEngine(MendableEngine, NCCLWeightTransferEngine):
    """Receives weights by NCCL broadcast."""


class MendableIpcEngine(MendableEngine, IPCWeightTransferEngine):
    """Receives weights through CUDA handles."""
