"""Reloading a served model, layer by layer, and the proof that all of it was loaded. Runs inside vLLM's worker.

While a model is reloaded its tensors hold nothing: weight loaders keep what they are given until a layer is complete.
What no loader was given keeps its old values then, and vLLM only warns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from vllm.model_executor.layers.attention import is_deferred_attention_layer
from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info
from vllm.model_executor.model_loader.reload.meta import SKIP_LOAD_TENSORS, SKIP_TENSORS

_DIRECTLY_WRITTEN = ("sinks",)
"""Parameters that a model writes itself, past their weight loaders: GPT-OSS's attention sinks."""
_LISTED = 8


class WeightsMissing(RuntimeError):
    """An update left parameters of the model without weights; they are those of the update before."""


def keep_directly_written_tensors() -> None:
    """Let reloading leave alone what models write directly, so that it is written into the tensor that is in use."""
    SKIP_TENSORS.update(_DIRECTLY_WRITTEN)
    SKIP_LOAD_TENSORS.update(_DIRECTLY_WRITTEN)


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
