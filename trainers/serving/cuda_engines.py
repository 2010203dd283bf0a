"""vLLM's weight-transfer engines for GPUs, made to leave a model that the next update can start on. Run in its worker.

An update that fails leaves vLLM's own with layers that hold a part of it. The next one goes on filling these, takes
them for complete too early, and drops the rest: weights are wrong then, and nobody is told.
"""

from __future__ import annotations

from typing import Any

from vllm.distributed.weight_transfer.base import WeightTransferEngine
from vllm.distributed.weight_transfer.ipc_engine import IPCWeightTransferEngine
from vllm.distributed.weight_transfer.nccl_engine import NCCLWeightTransferEngine

from trainers.serving.reloading import LoadRecord, keep_directly_written_tensors


class _Mendable(WeightTransferEngine[Any, Any]):
    _record: LoadRecord | None = None

    def start_weight_update(self) -> None:
        """Prepare the model to be loaded anew, layer by layer."""
        keep_directly_written_tensors()
        self._record = LoadRecord(self.model)
        super().start_weight_update()  # type: ignore[safe-super]

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Receive and load one part of an update; one that fails is completed with whatever it has."""
        try:
            super().update_weights(update_info)
        except BaseException:
            # vLLM ends the session here, after which it refuses to finish it.
            self._complete()
            raise

    def finish_weight_update(self) -> None:
        """Complete the reload.

        Raises:
            WeightsMissing: when a part of the model got no weights; the model can be used and updated again.
        """
        record = self._complete()
        if record is not None:
            record.check()

    def _complete(self) -> LoadRecord | None:
        record, self._record = self._record, None
        if record is not None:
            record.close()
        super().finish_weight_update()  # type: ignore[safe-super]
        return record


class MendableNcclEngine(_Mendable, NCCLWeightTransferEngine):
    """Receives weights by NCCL broadcast."""


class MendableIpcEngine(_Mendable, IPCWeightTransferEngine):
    """Receives weights through CUDA handles."""
