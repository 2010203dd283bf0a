"""The weights that servers of the base model need, from a model that may be sharded, adapted by LoRA or quantised.

They come a bounded number of bytes at a time, and nothing of the model is changed: a LoRA layer gives W + s·BA,
computed out of place (Hu et al. 2021, https://arxiv.org/abs/2106.09685), a weight in 4 bits its dequantised value.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import nn

from trainers.serving.buckets import TensorMeta, plan_buckets

BUCKET_BYTES = 256 * 2**20
_BASE_LAYER = ".base_layer."
_ADAPTER_PREFIX = "lora_"


@dataclass(frozen=True)
class ServedWeight:
    """One tensor of the base model's checkpoint.

    `meta` has its name there and its full shape; `parameters` are what it is computed from, which must be whole while
    `value` is called.
    """

    meta: TensorMeta
    parameters: tuple[nn.Parameter, ...]
    value: Callable[[], torch.Tensor]

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensor as it is sent."""
        return self.meta.size_bytes


def served_weights(model: nn.Module) -> list[ServedWeight]:
    """Every tensor that a server of the base model has, tied ones once, without gathering or computing anything."""
    if not isinstance(model, PeftModel):
        return [_plain(name, parameter) for name, parameter in model.named_parameters()]
    return list(_adapted(model))


def parameter_metadata(model: nn.Module) -> list[TensorMeta]:
    """Name, dtype and full (unsharded) shape of everything that `full_parameters` yields."""
    return [weight.meta for weight in served_weights(model)]


class FullParameters(Iterator[tuple[str, torch.Tensor]]):
    """Every served weight whole, in the order of `parameter_metadata`.

    Under ZeRO-3 (`sharded`) what they are computed from is gathered in buckets, never the whole model at once.
    Gathering is a collective: every rank must exhaust the iterator, or give up its rest by `skip_rest`.
    """

    def __init__(self, weights: Iterable[ServedWeight], sharded: bool, bucket_bytes: int) -> None:
        self._left = deque(plan_buckets(weights, bucket_bytes))
        self._sharded = sharded
        self._values = self._walk()

    def __next__(self) -> tuple[str, torch.Tensor]:
        return next(self._values)

    def skip_rest(self) -> None:
        """Take part in the gathering that is left, computing nothing: also after an error in the middle."""
        self._values.close()
        while self._left:
            with self._next_gathered():
                pass

    def _walk(self) -> Generator[tuple[str, torch.Tensor]]:
        while self._left:
            with self._next_gathered() as bucket:
                for weight in bucket:
                    with torch.no_grad():
                        value = weight.value()
                    yield weight.meta.name, value

    @contextmanager
    def _next_gathered(self) -> Iterator[list[ServedWeight]]:
        bucket = self._left.popleft()
        with gathered([parameter for weight in bucket for parameter in weight.parameters], self._sharded):
            yield bucket


def full_parameters(model: nn.Module, *, sharded: bool, bucket_bytes: int = BUCKET_BYTES) -> FullParameters:
    """Every tensor that a server of the base model has, whole, one after the other: see `FullParameters`."""
    return FullParameters(served_weights(model), sharded, bucket_bytes)


def full_shape(parameter: nn.Parameter) -> tuple[int, ...]:
    """The shape a parameter has when it is neither sharded nor quantised."""
    if _is_quantised(parameter):
        return tuple(parameter.quant_state.shape)
    # DeepSpeed keeps the whole shape here, and an empty tensor in the parameter.
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def dense(parameter: nn.Parameter) -> torch.Tensor:
    """The values of a parameter: as they are, or dequantised by bitsandbytes into a new tensor."""
    if not _is_quantised(parameter):
        return parameter.data
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(parameter.data, parameter.quant_state)


def _adapted(model: PeftModel) -> Iterator[ServedWeight]:
    base = model.get_base_model()
    layers = {name: module for name, module in base.named_modules() if isinstance(module, LoraLayer)}
    for name, parameter in base.named_parameters():
        layer_name, adapted, rest = name.partition(_BASE_LAYER)
        if adapted and rest == "weight":
            yield _merged(f"{layer_name}.{rest}", layers[layer_name], parameter)
        elif not any(part.startswith(_ADAPTER_PREFIX) for part in name.split(".")):
            yield _plain(name.replace(_BASE_LAYER, "."), parameter)


def _plain(name: str, parameter: nn.Parameter) -> ServedWeight:
    return ServedWeight(_meta(name, parameter), (parameter,), lambda: dense(parameter))


def _merged(name: str, layer: LoraLayer, weight: nn.Parameter) -> ServedWeight:
    # peft keeps the trained adapter active, beside the copy of it that TRL's reference policy may be.
    [adapter] = layer.active_adapters

    def value() -> torch.Tensor:
        whole = dense(weight)
        # The sum of two precisions has the higher one, so that it is rounded once.
        return (whole + layer.get_delta_weight(adapter)).to(whole.dtype)

    factors = (layer.lora_A[adapter].weight, layer.lora_B[adapter].weight)
    return ServedWeight(_meta(name, weight), (weight, *factors), value)


def _meta(name: str, parameter: nn.Parameter) -> TensorMeta:
    dtype = parameter.quant_state.dtype if _is_quantised(parameter) else parameter.dtype
    return TensorMeta(name, dtype, full_shape(parameter))


def _is_quantised(parameter: nn.Parameter) -> bool:
    return getattr(parameter, "quant_state", None) is not None


def gathered(
    parameters: Iterable[nn.Parameter], sharded: bool, modifier_rank: int | None = None
) -> AbstractContextManager:
    """Have parameters whole while the context is open; what `modifier_rank` changed in them reaches every rank."""
    if not sharded:
        return nullcontext()
    import deepspeed

    return deepspeed.zero.GatheredParameters(list(parameters), modifier_rank=modifier_rank)
