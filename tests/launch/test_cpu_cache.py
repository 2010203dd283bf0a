"""The cache of a server on the CPU, by its model, its context and the memory that is free."""

from __future__ import annotations

import pytest

from trainers.launch.estimates.cpu_cache import BLOCK, LEAST, SEQUENCES, cache_warnings, sequence_bytes, with_caches
from trainers.launch.estimates.memory import GIB
from trainers.launch.estimates.model_sizes import ModelShape
from trainers.serving.server_spec import ServerSpec

SMOLLM2 = ModelShape(
    *("llama", "LlamaForCausalLM", 576, 30, 9, 3, 64, 1536, 49_152), tied=True, positions=8192, bytes_each=2
)
PER_TOKEN = 2 * 30 * 3 * 64 * 4
SHAPES = {"smollm2": SMOLLM2}


def server(**changes) -> ServerSpec:
    given = {"max_model_len": 8192, "dtype": "float32"} | changes
    return ServerSpec("student", 0, "smollm2", "127.0.0.1", 8765, **given)


def size(spec: ServerSpec, free: float, asked: float | None = None) -> int:
    [found] = with_caches([spec], SHAPES, int(free * GIB), asked)
    return found.kv_cache_bytes


def test_eight_thousand_tokens_of_smollm2_have_the_room_that_vllm_asks_for() -> None:
    one = sequence_bytes(server(), SMOLLM2)
    assert one == (8192 + BLOCK) * PER_TOKEN
    assert one / GIB == pytest.approx(0.357, abs=0.001)
    assert one > LEAST
    assert size(server(), free=2) == one
    assert size(server(), free=64) == SEQUENCES * one
    # Half of what processes and weights leave.
    assert one < size(server(), free=6) < SEQUENCES * one


def test_small_contexts_keep_the_cache_they_had() -> None:
    assert size(server(max_model_len=256), free=64) == LEAST
    [unknown] = with_caches([server()], {}, 64 * GIB)
    assert unknown.kv_cache_bytes == LEAST


def test_servers_share_what_is_free() -> None:
    alone = size(server(), free=8)
    together = with_caches([server(), server()], SHAPES, 8 * GIB)
    assert together[0].kv_cache_bytes == together[1].kv_cache_bytes < alone


def test_the_key_decides_on_the_cpu_alone() -> None:
    assert size(server(), free=64, asked=0.5) == GIB // 2
    assert size(server(gpus=(0,)), free=64, asked=0.5) == server().kv_cache_bytes


def test_a_server_that_cannot_start_is_told_with_what_helps() -> None:
    [starved] = with_caches([server()], SHAPES, 64 * GIB, 0.1)
    [warning] = cache_warnings([starved], SHAPES, 64 * GIB)
    assert "does not hold one sequence" in warning
    assert "cpu_cache_gib" in warning
    [large] = with_caches([server()], SHAPES, GIB // 4)
    [warning] = cache_warnings([large], SHAPES, GIB // 4)
    assert "student_max_model_len" in warning
    assert list(cache_warnings(with_caches([server()], SHAPES, 64 * GIB), SHAPES, 64 * GIB)) == []
