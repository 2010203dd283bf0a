"""Many tensors as few messages: both ends of a weight transfer cut and fill the same buckets of bytes.

The cut depends on names, dtypes and shapes alone, which both ends know, so that nothing but bytes has to be sent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch

DEFAULT_BUCKET_BYTES = 256 * 2**20


class HasSize(Protocol):
    """Something that takes room in a bucket."""

    @property
    def size_bytes(self) -> int:
        """Bytes of its values."""
        ...


T = TypeVar("T", bound=HasSize)


@dataclass(frozen=True)
class TensorMeta:
    """Name, dtype and shape of one parameter, known before its values are."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of its values."""
        return math.prod(self.shape) * self.dtype.itemsize


def plan_buckets(items: Iterable[T], bucket_bytes: int) -> Iterator[list[T]]:
    """Yield consecutive items whose bytes fit into one bucket; a larger item has a bucket of its own."""
    bucket: list[T] = []
    size = 0
    for item in items:
        if bucket and size + item.size_bytes > bucket_bytes:
            yield bucket
            bucket, size = [], 0
        bucket.append(item)
        size += item.size_bytes
    if bucket:
        yield bucket


def pack(bucket: Sequence[TensorMeta], tensors: Iterator[tuple[str, torch.Tensor]]) -> torch.Tensor:
    """Return the bytes of the bucket's tensors, taken from `tensors` in order: uint8 of shape `(bytes,)`.

    Raises:
        ValueError: when the next tensor is not the one that the metadata announced.
    """
    parts = []
    for meta in bucket:
        name, tensor = next(tensors, ("nothing", torch.empty(0)))
        if (name, tensor.dtype, tuple(tensor.shape)) != (meta.name, meta.dtype, meta.shape):
            raise ValueError(
                f"Expected weight {meta.name} {meta.dtype} {meta.shape}, got {name} {tensor.dtype} "
                f"{tuple(tensor.shape)}: weights must come in the order and form that their metadata announced."
            )
        parts.append(tensor.detach().contiguous().view(-1).view(torch.uint8))
    return torch.cat(parts)


def unpack(bucket: Sequence[TensorMeta], payload: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """Return the named tensors of a bucket, copied out of its bytes.

    Copies, because vLLM keeps what it is given until a layer is complete, and views into a bucket may be unaligned.
    """
    parts = payload.split([meta.size_bytes for meta in bucket])
    return [
        (meta.name, part.clone().view(meta.dtype).view(meta.shape)) for meta, part in zip(bucket, parts, strict=True)
    ]


def bucket_size(bucket: Sequence[TensorMeta]) -> int:
    """Return the bytes of the whole bucket."""
    return sum(meta.size_bytes for meta in bucket)
