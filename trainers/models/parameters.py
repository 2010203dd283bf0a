"""The weights of a base model, from a model that may be sharded, adapted by LoRA or quantised.

They come a bounded number of bytes at a time, and nothing of the model is changed: a LoRA layer gives W + s·BA,
computed out of place (Hu et al. 2021, https://arxiv.org/abs/2106.09685), a weight in 4 bits its dequantised value.
Names are those that the base model has in memory; see `models.checkpoint_format` for what servers load.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer, ParamWrapper
from torch import nn

from trainers.serving.weights.buckets import TensorMeta, plan_buckets

BUCKET_BYTES = 256 * 2**20
_WRAPPED = "base_layer"
_ADAPTER_PREFIX = "lora_"


class Weights(Protocol):
    """Some tensors that are computed together, from parameters that must be whole while `tensors` is read."""

    @property
    def parameters(self) -> Sequence[nn.Parameter]:
        """The parameters that the tensors are computed from."""
        ...

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensors."""
        ...

    def tensors(self) -> Iterable[tuple[str, torch.Tensor]]:
        """Compute the tensors; names and values."""
        ...


@dataclass(frozen=True)
class BaseWeight:
    """One tensor of the base model.

    `meta` has its name in memory and its full shape; `parameters` are what it is computed from, which must be whole
    while `value` is called.
    """

    meta: TensorMeta
    parameters: tuple[nn.Parameter, ...]
    value: Callable[[], torch.Tensor]

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensor."""
        return self.meta.size_bytes

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Compute the tensor."""
        yield self.meta.name, self.value()


def base_model(model: nn.Module) -> nn.Module:
    """Return the model that an adapter was put on, or the model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def base_weights(model: nn.Module) -> list[BaseWeight]:
    """Return every tensor of the base model, tied ones once, without gathering or computing anything.

    Raises:
        ValueError: when a LoRA layer adapts something that is no parameter of the base model, so that what it has
            learned would reach no server.
    """
    base = base_model(model)
    adapters = _adapters(base)
    weights = [
        _merged(_clean(name), adapters.pop(id(parameter)), parameter)
        if id(parameter) in adapters
        else _plain(_clean(name), parameter)
        for name, parameter in base.named_parameters()
        if not _of_adapter(name)
    ]
    weights += [_plain(_clean(name), buffer) for name, buffer in _saved_buffers(base)]
    if adapters:
        layers = ", ".join(type(layer).__name__ for found in adapters.values() for layer in found)
        raise ValueError(f"LoRA layers adapt what is no parameter of the model: {layers}")
    return weights


class FullParameters(Iterator[tuple[str, torch.Tensor]]):
    """Tensors whole, one after the other.

    Under ZeRO-3 (`sharded`) what they are computed from is gathered in buckets, never the whole model at once.
    Gathering is a collective: every rank must exhaust the iterator, or give up its rest by `skip_rest`.
    """

    def __init__(self, weights: Iterable[Weights], sharded: bool, bucket_bytes: int) -> None:
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
                for weights in bucket:
                    with torch.no_grad():
                        tensors = list(weights.tensors())
                    yield from tensors

    @contextmanager
    def _next_gathered(self) -> Iterator[list[Weights]]:
        bucket = self._left.popleft()
        with gathered([parameter for weights in bucket for parameter in weights.parameters], self._sharded):
            yield bucket


def full_parameters(model: nn.Module, *, sharded: bool, bucket_bytes: int = BUCKET_BYTES) -> FullParameters:
    """Return every tensor of the base model, whole, one after the other: see `FullParameters`."""
    return FullParameters(base_weights(model), sharded, bucket_bytes)


def full_shape(parameter: torch.Tensor) -> tuple[int, ...]:
    """Return the shape a parameter has when it is neither sharded nor quantised."""
    if _is_quantised(parameter):
        return tuple(parameter.quant_state.shape)
    # DeepSpeed keeps the whole shape here, and an empty tensor in the parameter.
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def dense(parameter: torch.Tensor) -> torch.Tensor:
    """Return the values of a parameter: as they are, or dequantised by bitsandbytes into a new tensor."""
    if not _is_quantised(parameter):
        return parameter.data
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(parameter.data, parameter.quant_state)


def _adapters(base: nn.Module) -> dict[int, list[LoraLayer]]:
    """Return the LoRA layers by the identity of the parameter that they adapt.

    peft adapts a linear layer's weight, or any parameter by a `ParamWrapper`; wrappers of one module are nested.
    """
    found: dict[int, list[LoraLayer]] = defaultdict(list)
    for module in base.modules():
        if isinstance(module, LoraLayer):
            name = module.parameter_name if isinstance(module, ParamWrapper) else "weight"
            found[id(getattr(module.get_base_layer(), name))].append(module)
    return dict(found)


def _saved_buffers(base: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the buffers that belong to the checkpoint, such as the expert biases of DeepSeek-V3's router."""
    saved = base.state_dict(keep_vars=True).keys()
    for name, buffer in base.named_buffers():
        if name in saved and not _of_adapter(name):
            yield name, buffer


def _of_adapter(name: str) -> bool:
    return any(part.startswith(_ADAPTER_PREFIX) for part in name.split("."))


def _clean(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != _WRAPPED)


def _plain(name: str, tensor: torch.Tensor) -> BaseWeight:
    # A buffer is whole on every rank: there is nothing to gather.
    parameters = (tensor,) if isinstance(tensor, nn.Parameter) else ()
    return BaseWeight(_meta(name, tensor), parameters, lambda: dense(tensor))


def _merged(name: str, layers: Sequence[LoraLayer], weight: nn.Parameter) -> BaseWeight:
    def value() -> torch.Tensor:
        whole = dense(weight)
        merged = whole
        for layer in layers:
            # The sum of two precisions has the higher one, so that it is rounded once.
            merged = merged + layer.get_delta_weight(_trained(layer))
        return merged.to(whole.dtype)

    factors = [factor for layer in layers for factor in _factors(layer)]
    return BaseWeight(_meta(name, weight), (weight, *factors), value)


def _trained(layer: LoraLayer) -> str:
    # peft keeps the trained adapter active, beside the copy of it that TRL's reference policy may be.
    [adapter] = layer.active_adapters
    return adapter


def _factors(layer: LoraLayer) -> Iterator[nn.Parameter]:
    adapter = _trained(layer)
    for kind in layer.adapter_layer_names:
        matrices = getattr(layer, kind)
        if adapter in matrices:
            found = matrices[adapter]
            yield from [found] if isinstance(found, nn.Parameter) else found.parameters()


def _meta(name: str, parameter: torch.Tensor) -> TensorMeta:
    dtype = parameter.quant_state.dtype if _is_quantised(parameter) else parameter.dtype
    return TensorMeta(name, dtype, full_shape(parameter))


def _is_quantised(parameter: torch.Tensor) -> bool:
    return getattr(parameter, "quant_state", None) is not None


def gathered(
    parameters: Iterable[nn.Parameter], sharded: bool, modifier_rank: int | None = None
) -> AbstractContextManager[None]:
    """Have parameters whole while the context is open; what `modifier_rank` changed in them reaches every rank."""
    if not sharded:
        return nullcontext()
    import deepspeed

    return deepspeed.zero.GatheredParameters(list(parameters), modifier_rank=modifier_rank)
