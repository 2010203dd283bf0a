"""The trainer's end of vLLM's CUDA IPC weight transfer, on a GPU that trainer and server share."""

from __future__ import annotations

import base64
import pickle
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo, IPCTrainerWeightTransferEngine

from trainers.serving.weights.buckets import TensorMeta
from trainers.serving.weights.control_calls import ControlPlane, WeightSyncError
from trainers.serving.weights.cuda_transport import SENDER_RANK, UpdateSource, send_through


class IpcTransport:
    """Shows the server the trainer's memory on the GPU that they share; for a trainer of one process.

    Args:
        bucket_bytes: bytes shown at a time; a larger tensor enlarges it.
    """

    def __init__(self, bucket_bytes: int) -> None:
        self._bucket_bytes = bucket_bytes
        self._engine: IPCTrainerWeightTransferEngine | None = None

    def connect(self, control: ControlPlane) -> None:
        """Agree with the server on the form of the updates.

        Raises:
            WeightSyncError: when training has several processes, or the server several workers.
        """
        self.close()
        if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
            raise WeightSyncError(
                f"weight_transfer=ipc needs a trainer of one process, got {torch.distributed.get_world_size()}: "
                "use weight_transfer=nccl and give the servers GPUs of their own."
            )
        if control.world_sizes() != [1]:
            raise WeightSyncError(
                f"weight_transfer=ipc needs one teacher server on one GPU, got workers {control.world_sizes()}: "
                "use weight_transfer=nccl."
            )
        self._engine = IPCTrainerWeightTransferEngine.trainer_init(
            IPCTrainerInitInfo(packed=True, packed_buffer_size_bytes=self._bucket_bytes, rank=SENDER_RANK),
            client=IpcClient(control),
            source=UpdateSource([], []),
        )

    def send(
        self, control: ControlPlane, metadata: Sequence[TensorMeta], tensors: Iterable[tuple[str, torch.Tensor]]
    ) -> None:
        """Open an update, show all tensors bucket by bucket, close the update."""
        if self._engine is not None:
            largest = max(meta.size_bytes for meta in metadata)
            self._engine.packed_buffer_size_bytes = max(self._bucket_bytes, largest)
            # The server copies what it is shown, beyond its share: memory that torch keeps for later is in its way.
            torch.cuda.empty_cache()
        send_through(self._engine, UpdateSource(metadata, tensors))

    def close(self) -> None:
        """Forget the server."""
        self._engine = None


class IpcClient:
    """The control plane with CUDA handles made fit for JSON, pickled as vLLM's workers expect them."""

    def __init__(self, control: ControlPlane) -> None:
        self._control = control

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """See `ControlPlane`."""
        self._control.init_weight_transfer_engine(init_info)

    def start_weight_update(self) -> None:
        """See `ControlPlane`."""
        self._control.start_weight_update()

    def update_weights(self, update_info: dict[str, Any] | list[dict[str, Any]]) -> None:
        """See `ControlPlane`; `ipc_handles` become `ipc_handles_pickled`."""
        if isinstance(update_info, list):
            raise WeightSyncError("One update for the single worker of weight_transfer=ipc, got one per worker.")
        rest = {key: value for key, value in update_info.items() if key not in ("ipc_handles", "ipc_handles_pickled")}
        handles = base64.b64encode(pickle.dumps(update_info["ipc_handles"])).decode()
        self._control.update_weights({**rest, "ipc_handles_pickled": handles})

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """See `ControlPlane`."""
        self._control.finish_weight_update(weight_version)
