"""Reloading a served model, layer by layer, and the proof that all of it was loaded. Runs inside vLLM's worker.

While a model is reloaded its tensors hold nothing: weight loaders keep what they are given until a layer is complete.
What no loader was given keeps its old values then, and vLLM only warns. An update that fails leaves layers that hold a
part of it: the next one goes on filling these, takes them for complete too early, and drops the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from vllm.distributed.weight_transfer.base import WeightTransferEngine
from vllm.model_executor.layers.attention import is_deferred_attention_layer
from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info
from vllm.model_executor.model_loader.reload.meta import SKIP_LOAD_TENSORS, SKIP_TENSORS

_DIRECTLY_WRITTEN = ("sinks",)
"""Parameters that a model writes itself, past their weight loaders: GPT-OSS's attention sinks.

Reloading is to leave them alone, so that they are written into the tensor that is in use.
"""
_LISTED = 8


class WeightsMissing(RuntimeError):
    """An update left parameters of the model without weights; they are those of the update before."""


class MendableEngine(WeightTransferEngine[Any, Any]):
    """Put in front of an engine that loads checkpoints: updates that fail can be repeated, incomplete ones fail."""

    _record: LoadRecord | None = None

    def start_weight_update(self) -> None:
        """Prepare the model to be loaded anew, layer by layer."""
        SKIP_TENSORS.update(_DIRECTLY_WRITTEN)
        SKIP_LOAD_TENSORS.update(_DIRECTLY_WRITTEN)
        self._record = LoadRecord(self.model)
        super().start_weight_update()

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
        super().finish_weight_update()
        return record


class LoadRecord:
    """A record of what a model's `load_weights` is given and what it loads, from before a reload until `close`."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._load = model.load_weights
        self._announced = 0
        self._loaded: set[str] = set()
        self._untouched: list[str] = []
        # A tied output layer has a parameter of its own while the model is reloaded, which nothing is loaded into.
        self._own = {name for name, _ in model.named_parameters()}
        model.load_weights = self._record

    def close(self) -> None:
        """Stop recording. To be called before the reload is completed, which forgets what was loaded."""
        del self._model.load_weights
        self._untouched = sorted(self._own.intersection(_waiting_parameters(self._model)) - self._loaded)

    def check(self) -> None:
        """Make sure that no parameter was left out.

        Raises:
            WeightsMissing: naming the parameters that were.
        """
        if self._untouched:
            more = f" and {len(self._untouched) - _LISTED} more" if len(self._untouched) > _LISTED else ""
            raise WeightsMissing(
                f"{self._announced} tensors were announced, and {len(self._untouched)} parameters of "
                f"{type(self._model).__name__} got nothing from them: {', '.join(self._untouched[:_LISTED])}{more}"
            )

    def _record(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str] | None:
        loaded: set[str] | None = self._load(self._counted(weights))
        self._loaded |= loaded or set()
        return loaded

    def _counted(self, weights: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
        for named in weights:
            self._announced += 1
            yield named


def _waiting_parameters(model: torch.nn.Module) -> Iterator[str]:
    """Yield the parameters of layers that no weight loader was called for, attention scales apart.

    A loader's own account of what it loads names a mixture's experts differently from the model.
    """
    for name, layer in model.named_modules():
        info = get_layerwise_info(layer)
        if info.can_load() and not info.load_numel and not is_deferred_attention_layer(layer):
            for parameter, _ in layer.named_parameters(recurse=False):
                yield f"{name}.{parameter}" if name else parameter
