"""Full parameters of a model that may be sharded, a bounded number of bytes at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from trainers.serving.buckets import TensorMeta

BUCKET_BYTES = 256 * 2**20


def parameter_metadata(model: nn.Module) -> list[TensorMeta]:
    """Name, dtype and full (unsharded) shape of every parameter, tied ones once, without gathering anything."""
    return [TensorMeta(name, parameter.dtype, full_shape(parameter)) for name, parameter in model.named_parameters()]


def full_parameters(
    model: nn.Module, *, sharded: bool, bucket_bytes: int = BUCKET_BYTES
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every parameter whole, in the order of `parameter_metadata`.

    Under ZeRO-3 (`sharded`) the parameters are gathered in buckets, never the whole model at once. Gathering is a
    collective: every rank must exhaust the iterator.
    """
    for bucket in buckets(model.named_parameters(), bucket_bytes):
        with _gathered([parameter for _, parameter in bucket], sharded):
            for name, parameter in bucket:
                yield name, parameter.data


def buckets(
    parameters: Iterable[tuple[str, nn.Parameter]], bucket_bytes: int
) -> Iterator[list[tuple[str, nn.Parameter]]]:
    """Split parameters, in order, into runs of at most `bucket_bytes`; a larger parameter is a run of its own."""
    bucket: list[tuple[str, nn.Parameter]] = []
    filled = 0
    for name, parameter in parameters:
        size = torch.Size(full_shape(parameter)).numel() * parameter.element_size()
        if bucket and filled + size > bucket_bytes:
            yield bucket
            bucket, filled = [], 0
        bucket.append((name, parameter))
        filled += size
    if bucket:
        yield bucket


def full_shape(parameter: nn.Parameter) -> tuple[int, ...]:
    """The shape a parameter has when it is not sharded; DeepSpeed keeps it in `ds_shape`."""
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def _gathered(parameters: list[nn.Parameter], sharded: bool) -> AbstractContextManager:
    if not sharded:
        return nullcontext()
    import deepspeed

    return deepspeed.zero.GatheredParameters(parameters)
