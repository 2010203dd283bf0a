"""Weights under the names and in the shapes of their family's checkpoint, which is what a server's loader reads.

transformers 5 renames, fuses and stacks tensors when it loads a model: the experts of a mixture are one parameter in
memory and many tensors in the checkpoint. What it does for `save_pretrained` is done here piece by piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from trainers.models.parameters import BUCKET_BYTES, BaseWeight, FullParameters, base_model, base_weights
from trainers.serving.weights.buckets import TensorMeta

_STACKED_EXPERTS = {"gpt_oss": re.compile(r"(?P<experts>.*\.mlp\.experts)\.(?P<rest>[a-z_]+)")}
"""By model type: tensors that hold all experts of a layer, which vLLM only takes one by one while it serves.

vLLM 0.31 copies GPT-OSS's stacked experts past its own weight loaders, so that an update loses them silently.
"""


@dataclass(frozen=True)
class CheckpointWeights:
    """Tensors of the checkpoint, `metas`, that are made together from some `sources` of the model in memory."""

    model: PreTrainedModel
    sources: tuple[BaseWeight, ...]
    metas: tuple[TensorMeta, ...]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that must be whole while `tensors` is read."""
        return [parameter for source in self.sources for parameter in source.parameters]

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensors as they are sent."""
        return sum(meta.size_bytes for meta in self.metas)

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Compute the tensors, in the order of `metas`."""
        values = {source.meta.name: source.value() for source in self.sources}
        made = _made(self.model, values)
        for meta in self.metas:
            yield meta.name, made[meta.name]


def checkpoint_weights(model: nn.Module) -> list[BaseWeight] | list[CheckpointWeights]:
    """Return every tensor of the base model's checkpoint, without gathering or computing anything.

    Raises:
        ValueError: when the checkpoint of this family cannot be made piece by piece.
    """
    weights, base = base_weights(model), base_model(model)
    if not isinstance(base, PreTrainedModel):
        return weights
    whole = _converted(base, weights)
    if whole == {weight.meta.name: weight.meta for weight in weights}:
        return weights
    pieces = list(_pieces(base, weights, whole))
    made = {meta.name: meta for piece in pieces for meta in piece.metas}
    if made != whole or sum(len(piece.metas) for piece in pieces) != len(whole):
        different = sorted(name for name in made.keys() | whole.keys() if made.get(name) != whole.get(name))
        raise ValueError(
            f"{type(base).__name__}: its checkpoint cannot be made from one layer at a time; this concerns "
            f"{', '.join(different[:8])}"
        )
    return pieces


def checkpoint_metadata(model: nn.Module) -> list[TensorMeta]:
    """Return name, dtype and full (unsharded) shape of everything that `checkpoint_tensors` yields, in its order."""
    return [meta for weights in checkpoint_weights(model) for meta in _metas(weights)]


def checkpoint_tensors(model: nn.Module, *, sharded: bool, bucket_bytes: int = BUCKET_BYTES) -> FullParameters:
    """Return every tensor of the base model's checkpoint, whole, one after the other: see `FullParameters`."""
    return FullParameters(checkpoint_weights(model), sharded, bucket_bytes)


def _metas(weights: BaseWeight | CheckpointWeights) -> Sequence[TensorMeta]:
    return (weights.meta,) if isinstance(weights, BaseWeight) else weights.metas


def _pieces(
    model: PreTrainedModel, weights: Sequence[BaseWeight], whole: dict[str, TensorMeta]
) -> Iterator[CheckpointWeights]:
    """Cut the model into single parameters, and into whole layers where these are only converted together."""
    together: dict[str, list[BaseWeight]] = {}
    for weight in weights:
        made = _attempted(model, [weight])
        if made is not None and made.items() <= whole.items():
            yield CheckpointWeights(model, (weight,), tuple(made.values()))
        else:
            together.setdefault(_layer(weight.meta.name), []).append(weight)
    for group in together.values():
        yield CheckpointWeights(model, tuple(group), tuple(_converted(model, group).values()))


def _attempted(model: PreTrainedModel, weights: Iterable[BaseWeight]) -> dict[str, TensorMeta] | None:
    try:
        return _converted(model, weights)
    except (KeyError, IndexError, RuntimeError, ValueError):
        # One half of what is only converted together.
        return None


def _converted(model: PreTrainedModel, weights: Iterable[BaseWeight]) -> dict[str, TensorMeta]:
    """Return what the checkpoint has in place of some weights, by name; no values are needed to tell."""
    empty = {
        weight.meta.name: torch.empty(weight.meta.shape, dtype=weight.meta.dtype, device="meta") for weight in weights
    }
    made = _made(model, empty)
    return {name: TensorMeta(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in made.items()}


def _made(model: PreTrainedModel, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors of the model in the form that its server's loader takes."""
    made = revert_weight_conversion(model, dict(tensors))
    stacked = _STACKED_EXPERTS.get(model.config.model_type)
    if stacked is None:
        return made
    return {name: tensor for stack in made.items() for name, tensor in _unstacked(stacked, *stack)}


def _unstacked(stacked: re.Pattern[str], name: str, tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    found = stacked.fullmatch(name)
    if found is None:
        yield name, tensor
        return
    for expert, own in enumerate(tensor):
        yield f"{found['experts']}.{expert}.{found['rest']}", own


def _layer(name: str) -> str:
    """Return the part of a name up to the number of its layer, or all of a name without one."""
    parts = name.split(".")
    numbers = [index for index, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[: numbers[0] + 1]) if numbers else name
