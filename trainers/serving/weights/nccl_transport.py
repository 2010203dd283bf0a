"""The trainer's end of vLLM's NCCL weight transfer, between GPUs."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

import torch
from vllm.distributed.weight_transfer.base import TrainerWeightTransferEngine
from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo, NCCLTrainerWeightTransferEngine

from trainers.serving.weights.buckets import TensorMeta
from trainers.serving.weights.control_calls import ControlPlane
from trainers.serving.weights.cuda_transport import SENDER_RANK, UpdateSource, send_through, training_stream

logger = logging.getLogger(__name__)


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
            rank=SENDER_RANK,
        )
        with _Watchdog(self._timeout_s, "meeting the teacher servers for weight updates"), training_stream():
            self._engine = NCCLTrainerWeightTransferEngine.trainer_init(
                init_info, client=control, source=UpdateSource([], [])
            )

    def send(
        self, control: ControlPlane, metadata: Sequence[TensorMeta], tensors: Iterable[tuple[str, torch.Tensor]]
    ) -> None:
        """Open an update, broadcast all tensors, close the update."""
        with _Watchdog(self._timeout_s, "broadcasting weights to the teacher servers"):
            send_through(self._engine, UpdateSource(metadata, tensors))

    def close(self) -> None:
        """Leave the group."""
        if self._engine is not None:
            self._engine.shutdown()
            self._engine = None


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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]
