"""The weight-transfer engine of CPU servers: weights arrive by gloo broadcast. Runs inside vLLM's worker.

It is the counterpart of vLLM's NCCL engine and follows its life cycle: init once, then start, update, finish per
round. One update carries the whole model in the buckets of `buckets.plan_buckets`, which the trainer cuts alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.model_executor.layers.fused_moe.unquantized_fused_moe_method import UnquantizedFusedMoEMethod
from vllm.model_executor.layers.vocab_parallel_embedding import VocabParallelEmbedding
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

from trainers.serving.weights.buckets import TensorMeta, bucket_size, plan_buckets, unpack
from trainers.serving.weights.gloo_group import join_group, join_store
from trainers.serving.weights.worker.reloading import MendableEngine


@dataclass
class GlooInitInfo(WeightTransferInitInfo):
    """Where the group meets, and the rank in it of this server's first worker; the trainer is rank 0."""

    host: str
    port: int
    rank_offset: int
    world_size: int
    timeout_s: float
    bucket_bytes: int


@dataclass
class GlooUpdateInfo(WeightTransferUpdateInfo):
    """The tensors of an update in the order of their bytes: names, dtypes such as `float32`, shapes."""

    names: list[str]
    dtype_names: list[str]
    shapes: list[list[int]]


class GlooReceiver(WeightTransferEngine[GlooInitInfo, GlooUpdateInfo]):
    """Receives weights by broadcast and loads them as a checkpoint would be loaded."""

    init_info_cls = GlooInitInfo
    update_info_cls = GlooUpdateInfo
    _group: Any = None  # a ProcessGroupGloo, whose broadcast torch's stubs do not know
    _bucket_bytes = 0

    def init_transfer_engine(self, init_info: GlooInitInfo) -> None:
        """Join the trainer's group; the group of an earlier trainer is left first."""
        self.shutdown()
        parallel = self.parallel_config
        worker = parallel.data_parallel_index * parallel.world_size + parallel.rank
        store = join_store(init_info.host, init_info.port, init_info.world_size, init_info.timeout_s)
        self._group = join_group(store, init_info.rank_offset + worker, init_info.world_size, init_info.timeout_s)
        self._bucket_bytes = init_info.bucket_bytes

    def start_weight_update(self) -> None:
        """Prepare the model to be loaded anew, layer by layer.

        vLLM packs the experts of a mixture for the CPU where it sets up their kernel, which it does once: it would
        compute with unpacked weights as if they were packed. Without a kernel it sets one up again.
        """
        for module in self.model.modules():
            method = getattr(module, "quant_method", None)
            if isinstance(method, UnquantizedFusedMoEMethod):
                method.moe_kernel = None
        initialize_layerwise_reload(self.model)

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Receive and load an update. The base class would wait for an accelerator, which a CPU does not have."""
        self.receive_weights(self.parse_update_info(update_info))

    def receive_weights(self, update_info: GlooUpdateInfo) -> None:
        """Receive every bucket of the update and load its tensors."""
        if self._group is None:
            raise RuntimeError("No weight-transfer group: call /init_weight_transfer_engine first.")
        metadata = [
            TensorMeta(name, getattr(torch, dtype_name), tuple(shape))
            for name, dtype_name, shape in zip(
                update_info.names, update_info.dtype_names, update_info.shapes, strict=True
            )
        ]
        model: Any = self.model
        for bucket in plan_buckets(metadata, self._bucket_bytes):
            payload = torch.empty(bucket_size(bucket), dtype=torch.uint8)
            self._group.broadcast(payload, 0).wait()
            model.load_weights(unpack(bucket, payload))

    def finish_weight_update(self) -> None:
        """Complete the reload, including the packed copy of an output layer that is tied to the embedding.

        vLLM packs a tied output layer at first load only; it would go on computing with the old weights.
        """
        finalize_layerwise_reload(self.model, self.model_config)
        for module in self.model.modules():
            if isinstance(module, VocabParallelEmbedding):
                method: Any = module.quant_method
                method.process_weights_after_loading(module)

    def shutdown(self) -> None:
        """Leave the group."""
        self._group = None


class MendableGlooEngine(MendableEngine, GlooReceiver):
    """Receives weights on the CPU."""
