"""The trainer's end of vLLM's own weight-transfer engines for GPUs: NCCL between devices, CUDA IPC on a shared one.

Both are driven through vLLM's trainer-side engines, which call back into the control plane for start, update and
finish. Written from vLLM's source; nothing here has run on a GPU yet.
"""

from __future__ import annotations

import base64
import logging
import os
import pickle
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

import torch
from vllm.distributed.weight_transfer.base import ParamMeta, TrainerWeightTransferEngine, WeightSource
from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo, IPCTrainerWeightTransferEngine
from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo, NCCLTrainerWeightTransferEngine

from trainers.serving.buckets import TensorMeta
from trainers.serving.control import ControlPlane, WeightSyncError

logger = logging.getLogger(__name__)

# vLLM's engines know trainers of several ranks; ours gathers on rank 0 and sends from there.
_SENDER_RANK = 0


class UpdateSource(WeightSource):
    """The tensors of a single update as vLLM's engines want them; they can be read once."""

    def __init__(self, metadata: Sequence[TensorMeta], tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        self._metadata = [ParamMeta(meta.name, meta.dtype, meta.shape) for meta in metadata]
        self._tensors = tensors

    def metadata(self) -> list[ParamMeta]:
        """Return the names, dtypes and shapes of the tensors that iteration will yield."""
        return self._metadata

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        return ((name, tensor.detach()) for name, tensor in self._tensors)


class NcclTransport:
    """Broadcasts from the trainer's GPU to all servers' GPUs.

    A peer that died leaves the others inside NCCL, where no exception reaches them: `_Watchdog` ends the process then,
    as training's own NCCL watchdog does.

    Args:
        host: this machine's address as the servers see it.
        timeout_s: deadline of meeting the servers and of each update, in seconds.
        bucket_bytes: bytes sent at a time; two buckets are in flight.
    """

    def __init__(self, host: str, timeout_s: float, bucket_bytes: int) -> None:
        self._host = host
        self._timeout_s = timeout_s
        self._bucket_bytes = bucket_bytes
        self._engine: TrainerWeightTransferEngine[Any] | None = None

    def connect(self, control: ControlPlane) -> None:
        """Form one NCCL group of this process (rank 0) and every worker of every server."""
        self.close()
        init_info = NCCLTrainerInitInfo(
            master_address=self._host,
            master_port=_free_port(),
            world_size=1 + sum(control.world_sizes()),
            packed_buffer_size_bytes=self._bucket_bytes,
            rank=_SENDER_RANK,
        )
        with _Watchdog(self._timeout_s, "meeting the teacher servers for weight updates"):
            self._engine = NCCLTrainerWeightTransferEngine.trainer_init(
                init_info, client=control, source=UpdateSource([], [])
            )

    def send(
        self, control: ControlPlane, metadata: Sequence[TensorMeta], tensors: Iterable[tuple[str, torch.Tensor]]
    ) -> None:
        """Open an update, broadcast all tensors, close the update."""
        with _Watchdog(self._timeout_s, "broadcasting weights to the teacher servers"):
            _send(self._engine, UpdateSource(metadata, tensors))

    def close(self) -> None:
        """Leave the group."""
        if self._engine is not None:
            self._engine.shutdown()
            self._engine = None


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
            IPCTrainerInitInfo(packed=True, packed_buffer_size_bytes=self._bucket_bytes, rank=_SENDER_RANK),
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
        _send(self._engine, UpdateSource(metadata, tensors))

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


class _Watchdog:
    """Ends this process when the block takes longer than its deadline: the block may be where nothing else can."""

    def __init__(self, timeout_s: float, what: str) -> None:
        self._timer = threading.Timer(timeout_s, self._end)
        self._timer.daemon = True
        self._message = f"{what} took more than {timeout_s:g} s: a teacher server died or hangs; see its log. Ending."

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        logger.critical(self._message)
        logging.shutdown()
        os._exit(1)


def _send(engine: TrainerWeightTransferEngine[Any] | None, source: UpdateSource) -> None:
    if engine is None:
        raise WeightSyncError("Not connected to the teacher servers: call connect() first.")
    engine.source = source
    try:
        engine.send_weights()
    finally:
        engine.source = UpdateSource([], [])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]
