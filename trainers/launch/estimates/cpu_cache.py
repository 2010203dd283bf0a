"""The cache of keys and values of servers on the CPU: by model, context and the memory that is free. Pure.

vLLM refuses to start with a cache that does not hold one sequence of full length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from trainers.launch.estimates.memory import GIB, cache_per_token
from trainers.launch.estimates.model_sizes import BYTES, ModelShape
from trainers.serving.server_spec import ServerSpec

LEAST = 256 * 2**20
SEQUENCES = 8
"""Sequences of full length for which there is room where memory allows: most end long before."""
PROCESS = 2 * GIB
"""Bytes of a server besides weights and cache: vLLM, torch and activations."""
BLOCK = 128
"""Tokens that vLLM's CPU servers reserve at a time."""


def with_caches(
    specs: Sequence[ServerSpec], shapes: Mapping[str, ModelShape | None], free: int, asked_gib: float | None = None
) -> tuple[ServerSpec, ...]:
    """Return servers with the sizes of their caches; those on GPUs as they are.

    Args:
        specs: the servers of a run.
        shapes: of their models; one that is not known has a cache of 256 MiB.
        free: bytes of the machine's memory that nobody uses.
        asked_gib: what the user wants instead, for each.
    """
    room = _room(specs, shapes, free)
    wanted = None if asked_gib is None else int(asked_gib * GIB)
    sizes = [wanted or _size(spec, shapes.get(spec.model), room) for spec in specs]
    sized = zip(specs, sizes, strict=True)
    return tuple(spec if spec.gpus else replace(spec, kv_cache_bytes=size) for spec, size in sized)


def sequence_bytes(spec: ServerSpec, shape: ModelShape | None) -> int | None:
    """Return the bytes of the cache of one sequence of full length, in whole blocks; `None` where it is not known."""
    length = spec.max_model_len or (shape.positions if shape else None)
    if shape is None or not length:
        return None
    return (-(-length // BLOCK) + 1) * BLOCK * cache_per_token(spec, shape)


def cache_warnings(specs: Sequence[ServerSpec], shapes: Mapping[str, ModelShape | None], free: int) -> Iterator[str]:
    """Yield what will keep servers on the CPU from starting."""
    for spec in specs:
        one = None if spec.gpus else sequence_bytes(spec, shapes.get(spec.model))
        if one is None:
            continue
        if spec.kv_cache_bytes < one:
            yield (
                f"{spec.name}: its cache of {spec.kv_cache_bytes / GIB:.2f} GiB does not hold one sequence of full "
                f"length, {one / GIB:.2f} GiB: it will not start. → raise cpu_cache_gib, or lower "
                f"{spec.key('max_model_len')}"
            )
        elif spec.kv_cache_bytes > free:
            yield (
                f"{spec.name}: its cache takes {spec.kv_cache_bytes / GIB:.2f} GiB, and {free / GIB:.2f} GiB of the "
                f"machine's memory are free: it will not start. → end other programs, or lower "
                f"{spec.key('max_model_len')}"
            )


def _room(specs: Sequence[ServerSpec], shapes: Mapping[str, ModelShape | None], free: int) -> int:
    """Return the bytes that each server may take for its cache: half of what is left, the rest is the trainer's."""
    on_cpu = [spec for spec in specs if not spec.gpus]
    fixed = sum(PROCESS + _weights(spec, shapes.get(spec.model)) for spec in on_cpu)
    return max(0, free - fixed) // 2 // max(1, len(on_cpu))


def _weights(spec: ServerSpec, shape: ModelShape | None) -> int:
    return shape.parameters * BYTES.get(spec.dtype, shape.bytes_each) if shape else 0


def _size(spec: ServerSpec, shape: ModelShape | None, room: int) -> int:
    one = sequence_bytes(spec, shape)
    return LEAST if one is None else max(LEAST, one, min(SEQUENCES * one, room))
