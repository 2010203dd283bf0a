"""Tensors as vLLM's weight-transfer engines for GPUs want them, and their sending: shared by both trainer ends.

vLLM's trainer-side engines call back into the control plane for start, update and finish. Written from vLLM's source;
nothing here has run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from vllm.distributed.weight_transfer.base import ParamMeta, TrainerWeightTransferEngine, WeightSource

from trainers.serving.weights.buckets import TensorMeta
from trainers.serving.weights.control_calls import WeightSyncError

SENDER_RANK = 0
"""vLLM's engines know trainers of several ranks; ours gathers on rank 0 and sends from there."""


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


@contextmanager
def training_stream() -> Iterator[None]:
    """Let the block use whatever CUDA stream it likes, and go on with the one that training had.

    vLLM moves a process to a stream of its own where it first asks for the current one.
    """
    before = torch.cuda.current_stream()
    try:
        yield
    finally:
        torch.cuda.set_stream(before)


def send_through(engine: TrainerWeightTransferEngine[Any] | None, source: UpdateSource) -> None:
    """Send one update by an engine, which forgets its tensors afterwards.

    Engines pack on streams of their own: training's must have written the weights by then.

    Raises:
        WeightSyncError: when there is no engine, since nobody connected.
    """
    if engine is None:
        raise WeightSyncError("Not connected to the teacher servers: call connect() first.")
    engine.source = source
    torch.cuda.current_stream().synchronize()
    try:
        with training_stream():
            engine.send_weights()
    finally:
        engine.source = UpdateSource([], [])
