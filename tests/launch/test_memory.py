"""GPU memory by process, against numbers worked out by hand for Qwen3-8B, and what is said when it does not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine, assume
from trainers.configuration.settings.experiments import Experiment, TrainingExperiment
from trainers.launch.estimates.disk import LEAST_FREE, checkpoints_kept, disk_needed
from trainers.launch.estimates.gpu_memory import Card, cards, read_cards
from trainers.launch.estimates.memory import (
    GIB,
    activations,
    adapter_parameters,
    cache_per_token,
    host_needs,
    model_states,
    output_layer,
    sequence_tokens,
    server_needs,
    trainer_needs,
)
from trainers.launch.estimates.memory_fit import fewest_processes, host_warnings, memory_warnings, occupants, sequences
from trainers.launch.estimates.model_sizes import KNOWN, count_weights, local_shape, positions, shape_of
from trainers.launch.plan import make_plan
from trainers.serving.server_spec import ServerSpec

QWEN3_8B = 8_190_735_360
EIGHT = shape_of(KNOWN["Qwen/Qwen3-8B"])
FOUR = shape_of(KNOWN["Qwen/Qwen3-4B"])
assert EIGHT is not None
assert FOUR is not None
SHAPES = {"Arc-Intelligence/ATLAS-8B-Thinking": EIGHT, "Qwen/Qwen3-4B": FOUR}


@cache
def config_of(command: str, processes: int = 1, gpus: int = 8) -> Experiment:
    return compose(command.split(), assume(gpus), processes).config


@cache
def plan_of(command: str, servers: int, trainers: int, gpus: int = 8):
    composition = compose(command.split(), assume(gpus), max(trainers, 1), servers or None)
    return make_plan(composition.config, assume(gpus), servers, trainers)


def sizes(config: TrainingExperiment) -> dict[str, int]:
    return {need.what: need.size for need in model_states(config, EIGHT)}


@pytest.mark.parametrize(
    ("model", "published"),
    [
        ("Qwen/Qwen3-0.6B", 596_049_920),
        ("Qwen/Qwen3-1.7B", 1_720_574_976),
        ("Qwen/Qwen3-4B", 4_022_468_096),
        ("Qwen/Qwen3-8B", QWEN3_8B),
        ("Arc-Intelligence/ATLAS-8B-Thinking", QWEN3_8B),
    ],
)
def test_parameters_are_those_published(model: str, published: int) -> None:
    shape = shape_of(KNOWN[model])
    assert shape is not None
    assert shape.parameters == published


def test_a_layer_is_counted_by_hand() -> None:
    attention = 4096 * 4096 + 2 * 4096 * 1024 + 4096 * 4096
    feed_forward = 3 * 4096 * 12_288
    assert EIGHT.layer == attention + feed_forward + 2 * 4096 + 2 * 128
    assert EIGHT.parameters == 2 * 151_936 * 4096 + 36 * EIGHT.layer + 4096


def test_experts_multiply_the_feed_forward_part() -> None:
    config = {**KNOWN["Qwen/Qwen3-8B"], "model_type": "qwen3_moe", "moe_intermediate_size": 768, "num_experts": 128}
    shape = shape_of(config)
    assert shape is not None
    attention = 2 * 4096 * 4096 + 2 * 4096 * 1024
    assert shape.layer == attention + 128 * 3 * 4096 * 768 + 4096 * 128 + 2 * 4096 + 2 * 128


@pytest.mark.slow
@pytest.mark.parametrize("model", ["Qwen/Qwen3-0.6B", "Qwen/Qwen3-8B"])
def test_the_formula_agrees_with_transformers(model: str) -> None:
    from transformers import Qwen3Config

    from trainers.launch.checks.inspection import empty_parameters

    assert empty_parameters(Qwen3Config(**KNOWN[model])) == shape_of(KNOWN[model]).parameters


def test_weights_on_the_disk_are_counted(tiny_teacher_dir: Path) -> None:
    from safetensors import safe_open

    shape = local_shape(str(tiny_teacher_dir))
    assert shape is not None
    with safe_open(tiny_teacher_dir / "model.safetensors", "pt") as file:
        stored = sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118 - no mapping
    assert shape.exact == stored == shape.counted


def test_the_shards_of_an_index_are_counted_and_copies_in_other_formats_are_not(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.float16)}, tmp_path / "model-1.safetensors")
    save_file({"c": np.zeros((2, 2), np.float32)}, tmp_path / "model-2.safetensors")
    # As Mistral's models come: the same weights once more, under other names.
    save_file({"all": np.zeros(21, np.float32)}, tmp_path / "consolidated.safetensors")
    assert count_weights(tmp_path) is None
    places = {"a": "model-1.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    assert count_weights(tmp_path) == 12 + 5 + 4
    (tmp_path / "model-2.safetensors").unlink()
    assert count_weights(tmp_path) is None
    index.write_text("{", encoding="utf-8")
    assert count_weights(tmp_path) is None


def test_unreadable_models_have_no_shape(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    assert local_shape(str(tmp_path)) is None
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    assert local_shape(str(tmp_path)) is None
    assert local_shape("/no/such/model") is None
    (tmp_path / "config.json").write_text(json.dumps(dict(KNOWN["Qwen/Qwen3-8B"])), encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"no header")
    assert local_shape(str(tmp_path)) == EIGHT


@pytest.mark.parametrize(
    ("rope", "limit"),
    [
        (None, 40_960),
        ({"rope_type": "default"}, 40_960),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}, 131_072),
        ({"type": "linear", "factor": 2.0}, 81_920),
        ({"rope_type": "llama3", "factor": 8.0}, 40_960),
    ],
)
def test_stretched_contexts(rope: dict | None, limit: int) -> None:
    assert positions({"max_position_embeddings": 40_960, "rope_scaling": rope}) == limit


def test_states_by_stage_of_zero() -> None:
    # bfloat16: 2 bytes of weight, 2 of gradient, 4 + 4 + 4 of optimizer; a reference model of 2.
    zero3 = sizes(config_of("teacher_rcl", 4))
    share = QWEN3_8B // 4
    assert zero3 == {"weights": 2 * share, "gradients": 2 * share, "optimizer": 12 * share, "reference": 2 * share}
    zero2 = sizes(config_of("teacher_rcl zero2", 4))
    whole = {"weights": 2 * QWEN3_8B, "reference": 2 * QWEN3_8B}
    assert zero2 == {**whole, "gradients": 2 * share, "optimizer": 12 * share}
    zero1 = sizes(config_of("teacher_rcl zero1", 4))
    assert zero1 == {**whole, "gradients": 2 * QWEN3_8B, "optimizer": 12 * share}
    assert "reference" not in sizes(config_of("teacher_rcl beta=0", 4))
    assert "reference" not in sizes(config_of("teacher_sft", 4))


def test_float32_needs_no_second_weights() -> None:
    found = sizes(config_of("teacher_sft dtype=float32 bf16=false", 1))
    assert found == {"weights": 4 * QWEN3_8B, "gradients": 4 * QWEN3_8B, "optimizer": 8 * QWEN3_8B}


def test_offloading_moves_the_states_to_the_machine() -> None:
    config = config_of("teacher_rcl offload", 4)
    certain = [part.what for part in trainer_needs(config, EIGHT).parts if part.certain]
    assert certain == ["context", "reduction", "weight update"]
    assert host_needs(config, EIGHT) == (2 + 2 + 12 + 2) * QWEN3_8B
    assert host_needs(config_of("teacher_rcl", 4), EIGHT) == 0


def test_adapters_train_few_parameters() -> None:
    config = config_of("teacher_rcl zero2 use_peft=true lora_r=16 lora_target_modules=[q_proj,v_proj]", 2)
    adapters = 36 * 16 * ((4096 + 4096) + (4096 + 1024))
    assert adapter_parameters(config.lora, EIGHT) == adapters
    assert sizes(config) == {
        "weights": 2 * QWEN3_8B + 2 * adapters,
        "gradients": 2 * adapters // 2,
        "optimizer": 12 * adapters // 2,
    }
    everything = config.with_keys(lora_target_modules="all-linear")
    linear = 2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 12_288)
    assert adapter_parameters(everything.lora, EIGHT) == 36 * 16 * linear


def test_four_bits_shrink_the_layers_and_not_the_embeddings() -> None:
    config = config_of("teacher_rcl zero2 use_peft=true load_in_4bit=true lora_r=16", 1)
    adapters = adapter_parameters(config.lora, EIGHT)
    layers = 36 * EIGHT.layer
    assert sizes(config)["weights"] == int(0.5625 * layers + 2 * (QWEN3_8B - layers)) + 2 * adapters


def test_activations_of_a_micro_batch() -> None:
    config = config_of("teacher_sft", 8)
    inner = 2 * (6 * 4096 + 2 * 4096 + 2 * 1024 + 4 * 12_288)
    assert activations(config, EIGHT, 1000) == 1000 * (36 * 4096 * 2 + inner)
    assert activations(config.with_keys(gradient_checkpointing=False), EIGHT, 1000) == 1000 * 36 * inner
    assert output_layer(config.lora, EIGHT, 1000) == 4 * 151_936 * 4096 + 8 * 1000 * 4096


def parts(command: str, processes: int, gpus: int = 8) -> dict[str, int]:
    config = plan_of(command, 1, processes, gpus).config
    return {part.what: part.size for part in trainer_needs(config, EIGHT).parts if part.certain}


def test_buffers_of_deepspeed_and_of_weight_updates_are_counted() -> None:
    embedding = 2 * 151_936 * 4096
    assert parts("teacher_rcl", 1)["weight update"] == embedding + 2**28
    assert parts("teacher_rcl", 1, gpus=1)["weight update"] == 2 * embedding
    assert parts("teacher_rcl", 1)["reduction"] == 2 * 500_000_000
    # The smallest model's embedding of 0.29 GiB is above a bucket; a tiny one's is not.
    tiny = replace(EIGHT, vocabulary=1000)
    config = plan_of("teacher_rcl", 1, 1).config
    assert [part.size for part in trainer_needs(config, tiny).parts if part.what == "weight update"] == [2 * 2**28]


def test_adapters_have_the_precision_that_deepspeed_trains_in() -> None:
    config = config_of("teacher_rcl zero2 use_peft=true lora_r=16", 1)
    adapters = adapter_parameters(config.lora, EIGHT)
    assert sizes(config)["gradients"] == 2 * adapters
    assert sizes(config)["optimizer"] == 12 * adapters
    full = config.with_keys(bf16=False)
    assert sizes(full)["gradients"] == 4 * adapters
    assert sizes(full)["optimizer"] == 8 * adapters


def test_the_longest_sequence() -> None:
    assert sequence_tokens(config_of("teacher_sft", 8)) == 16_384
    config = config_of("teacher_rcl", 4)
    assert sequence_tokens(config.with_keys(max_prompt_length=4096)) == 8192
    assert sequence_tokens(config.with_keys(max_prompt_length=None)) == 1024 + 500 + 4096
    assert sequence_tokens(config.with_keys(max_prompt_length=4096, teacher_max_model_len=6000)) == 6000


def server(**changes) -> ServerSpec:
    return replace(ServerSpec("teacher", 0, "m", "127.0.0.1", 1, gpus=(0,), max_model_len=16_384), **changes)


def test_a_server_needs_weights_workspace_and_one_sequence() -> None:
    per_token = 2 * 36 * 8 * 128 * 2
    assert cache_per_token(server(), EIGHT) == per_token == 147_456
    assert server_needs(server(), EIGHT).least == 2 * QWEN3_8B + int(1.5 * GIB) + 16_384 * per_token
    assert server_needs(server(max_model_len=None), EIGHT).least == 2 * QWEN3_8B + int(1.5 * GIB) + 40_960 * per_token
    halves = server(gpus=(0, 1), tensor_parallel_size=2)
    assert server_needs(halves, EIGHT).least == QWEN3_8B + int(1.5 * GIB) + 16_384 * per_token // 2
    assert cache_per_token(server(dtype="float32"), EIGHT) == 2 * per_token
    # A key-value head is never split: sixteen GPUs keep one of the eight each.
    assert cache_per_token(server(tensor_parallel_size=16), EIGHT) == per_token // 8


def test_a_shared_card_is_summed_up() -> None:
    plan = plan_of("teacher_rcl", 1, 1, gpus=1)
    listed = occupants(plan, SHAPES)
    assert [(each.name, each.gpus, each.share) for each in listed] == [
        ("teacher-0", (0,), 0.25),
        ("student-0", (0,), 0.25),
        ("trainer-0", (0,), None),
    ]
    [warning] = memory_warnings(plan, SHAPES, cards(assume(1), 140))
    assert warning.startswith("trainer-0 on GPU 0")
    assert "and has 70.0 GiB" in warning
    crowded = [warning.partition(" ")[0] for warning in memory_warnings(plan, SHAPES, cards(assume(1), 40))]
    assert crowded == ["teacher-0", "student-0", "trainer-0"]


def test_what_cannot_fit_is_told_once_with_ways_out() -> None:
    [warning] = memory_warnings(plan_of("teacher_rcl zero1", 4, 4), SHAPES, cards(assume(8), 48))
    assert warning.startswith("trainer-0 on GPU 4 (Arc-Intelligence/ATLAS-8B-Thinking): needs at least 72.0 GiB")
    assert "weights 15.3 + gradients 15.3 + optimizer 22.9 + reference 15.3" in warning
    assert "and has 48.0 GiB: it will most likely run out of memory" in warning
    for way in ("leave zero1", "add the word offload", "use_peft=true"):
        assert way in warning.partition("→")[2]
    assert not _too_large("teacher_rcl", 48)
    [server_warning] = _too_large("teacher_rcl offload", 20)
    assert "teacher_max_model_len" in server_warning
    assert "teacher_tensor_parallel_size=2" in server_warning


def _too_large(command: str, gib: int) -> list[str]:
    warnings = memory_warnings(plan_of(command, 4, 4), SHAPES, cards(assume(8), gib))
    return [warning for warning in warnings if "will most likely run out of memory" in warning]


def test_the_fewest_gpus_are_named() -> None:
    config = config_of("teacher_rcl", 1)
    assert fewest_processes(config, EIGHT, 80 * GIB) == 2
    assert fewest_processes(config, EIGHT, 24 * GIB) == 7
    assert fewest_processes(config, EIGHT, GIB) is None


def test_a_tight_fit_is_a_warning_that_names_keys() -> None:
    plan = plan_of("teacher_rcl", 2, 2)
    [warning] = memory_warnings(plan, SHAPES, cards(assume(8), 80))
    assert warning.startswith("trainer-0: about")
    assert "max_completion_length" in warning
    assert list(memory_warnings(plan, SHAPES, cards(assume(8), 140))) == []


def test_nothing_is_said_of_the_room_for_unknown_models_or_on_unknown_cards() -> None:
    plan = plan_of("teacher_rcl", 2, 2)
    assert all("not known here" in warning for warning in memory_warnings(plan, {}, cards(assume(8), 1)))
    assert list(memory_warnings(plan, SHAPES, {})) == []
    assert any("not known here" in warning for warning in memory_warnings(plan, {}, {}))


def test_cards_that_others_use_are_named() -> None:
    used = {gpu: Card(80 * GIB, 80 * GIB) for gpu in range(8)} | {0: Card(80 * GIB, 10 * GIB)}
    [warning] = memory_warnings(plan_of("teacher_rcl", 4, 4), SHAPES, used)
    assert warning.startswith("GPU 0: the run takes")
    assert "10.0 of 80.0 GiB free" in warning


def test_a_machine_without_memory_for_offloading_is_told() -> None:
    plan = plan_of("teacher_rcl offload", 4, 4)
    [warning] = host_warnings(plan, SHAPES, 64 * GIB)
    assert "137.3 GiB of the machine's memory, which has 64.0 GiB" in warning
    assert list(host_warnings(plan, SHAPES, 256 * GIB)) == []
    assert list(host_warnings(plan_of("teacher_rcl", 4, 4), SHAPES, GIB)) == []


def test_sequences_that_a_share_holds() -> None:
    plan = plan_of("teacher_rcl", 4, 4)
    teacher = occupants(plan, SHAPES)[0]
    room = 72 * GIB
    expected = (room - 2 * QWEN3_8B - int(1.5 * GIB)) // (16_384 * 147_456)
    assert sequences(teacher, EIGHT, room) == expected == 24


def test_what_nvidia_smi_says() -> None:
    rows = [["0", "81559", "81000"], ["1", "81559", "12"], ["2", "[N/A]", "[N/A]"]]
    assert read_cards(rows) == {0: Card(81_559 * 2**20, 81_000 * 2**20), 1: Card(81_559 * 2**20, 12 * 2**20)}
    assert cards(Machine()) == {}
    assert cards(assume(2), 24) == dict.fromkeys((0, 1), Card(24 * GIB, 24 * GIB))
    assert cards(assume(2)) == {}


def test_the_disk_holds_a_bounded_number_of_checkpoints() -> None:
    config = config_of("teacher_rcl", 4)
    assert checkpoints_kept(config.trainer) == 4
    assert disk_needed(config, EIGHT) == LEAST_FREE + QWEN3_8B * (4 * 14 + 2)
    assert disk_needed(config.with_keys(save_only_model=True), EIGHT) == LEAST_FREE + QWEN3_8B * (4 * 2 + 2)
    assert disk_needed(config.with_keys(save_strategy="no", save_final_model=False), EIGHT) == LEAST_FREE
    assert checkpoints_kept(config.with_keys(save_total_limit=None).trainer) == 25
    assert checkpoints_kept(config.with_keys(max_steps=20).trainer) == 2
    assert disk_needed(config, None) == LEAST_FREE
    adapted = config.with_keys(use_peft=True, lora_r=16, lora_target_modules=["q_proj"])
    assert disk_needed(adapted, EIGHT) == LEAST_FREE + 36 * 16 * 8192 * (4 * 14 + 2)
