"""Weights of many families: named and shaped as in their checkpoints, adapters in them, in a real engine."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from scripts.benchmarks.weights.weight_updates import BOUND, BOUNDS, STAGES, difference, differences
from tests.support.families import FAMILIES, write_family
from tests.support.update_engine import update_engine
from trainers.launch.checks.weight_updates import TRIED
from trainers.models import checkpoint_format
from trainers.models.checkpoint_format import checkpoint_metadata, checkpoint_tensors
from trainers.models.parameters import base_weights
from trainers.serving.weights.gloo_transport import GlooTransport

# One for each way in which a model in memory differs from its checkpoint, and one for each that does not.
MIXTURES = ("Qwen3-MoE", "Mixtral", "OLMoE")


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    """A model of each family, made when it is first asked for."""
    made, scratch = {}, tmp_path_factory.mktemp("families")

    def directory(family):
        if family not in made:
            made[family] = write_family(family, scratch / str(len(made)))
        return made[family]

    return directory


def load(directory):
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()


def sent(model):
    return {name: tensor.clone() for name, tensor in checkpoint_tensors(model, sharded=False, bucket_bytes=2**12)}


def unstacked(tensors):
    """GPT-OSS's stacked experts as they are sent."""
    return {
        name: tensor
        for stack in tensors.items()
        for name, tensor in checkpoint_format._unstacked(checkpoint_format._STACKED_EXPERTS["gpt_oss"], *stack)
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_sent_is_what_the_checkpoint_holds(family, directories):
    model = load(directories(family))
    found, saved = sent(model), load_file(directories(family) / "model.safetensors")
    expected = unstacked(saved) if family == "GPT-OSS" else saved
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    announced = [(meta.name, meta.dtype, meta.shape) for meta in checkpoint_metadata(model)]
    assert announced == [(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in found.items()]


@pytest.mark.parametrize("family", ["Qwen3-MoE", "Mixtral", "OLMoE", "GPT-2", "GPT-NeoX", "Llama, tied", "GPT-OSS"])
def test_an_adapter_is_in_what_is_sent_also_that_of_experts(family, directories):
    model = load(directories(family))
    before = sent(model)
    adapted = get_peft_model(
        model, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear", init_lora_weights=False)
    )
    after = sent(adapted)
    assert after.keys() == before.keys()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    if family in MIXTURES:
        experts = {name for name in after if ".experts." in name}
        assert experts
        assert experts <= changed
    assert changed
    merged = sent(adapted.merge_and_unload())
    assert all(torch.allclose(after[name], merged[name], atol=1e-6) for name in after)


def test_an_adapter_of_what_is_no_parameter_is_an_error(directories):
    model = get_peft_model(load(directories("Qwen3")), LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]))
    layer = model.get_base_model().model.layers[0].self_attn.q_proj
    del layer.base_layer._parameters["weight"]
    layer.base_layer.weight = torch.zeros(64, 64)
    with pytest.raises(ValueError, match="adapt what is no parameter"):
        base_weights(model)


def test_a_family_that_is_only_converted_as_a_whole_is_an_error(directories, monkeypatch):
    def whole(model, tensors):
        if len(tensors) < len(list(model.parameters())):
            raise KeyError("another tensor")
        return {"everything": torch.cat([tensor.flatten() for tensor in tensors.values()])}

    monkeypatch.setattr(checkpoint_format, "revert_weight_conversion", whole)
    with pytest.raises((ValueError, KeyError), match=r"one layer at a time|another tensor"):
        checkpoint_metadata(load(directories("Qwen3")))


def test_parameters_that_are_only_converted_together_are_sent_together(directories, monkeypatch):
    """As families whose checkpoint fuses what transformers keeps apart."""

    def fused(model, tensors):
        names = [name for name in tensors if name.endswith(("mlp.gate_proj.weight", "mlp.up_proj.weight"))]
        if len(names) % 2:
            raise KeyError("its other half")
        halves = {name: name.replace("gate_proj", "gate_up_proj") for name in names if "gate_proj" in name}
        made = {name: tensor for name, tensor in tensors.items() if name not in names}
        for gate, together in halves.items():
            made[together] = torch.cat([tensors[gate], tensors[gate.replace("gate_proj", "up_proj")]])
        return made

    model = load(directories("Qwen3"))
    expected = fused(model, dict(model.named_parameters()))
    monkeypatch.setattr(checkpoint_format, "revert_weight_conversion", fused)
    found = sent(model)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_the_families_tried_here_are_those_that_the_preflight_knows(directories):
    assert {type(load(directories(family))).__name__ for family in FAMILIES} == TRIED


@pytest.fixture(scope="module")
def engine():
    with update_engine() as started:
        yield started


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_server_computes_with_what_it_is_sent(family, engine, directories):
    found = dict(zip(STAGES, differences(engine, directories(family)), strict=True))
    assert max(found.values()) < BOUNDS.get(family, BOUND), found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "left_out", "named"),
    [
        ("Qwen3", "model.layers.1.self_attn.o_proj.weight", "model.layers.1.self_attn.o_proj.weight"),
        ("GPT-OSS", "model.layers.0.self_attn.sinks", "model.layers.0.attn.sinks"),
        ("Mixtral", "model.norm.weight", "model.norm.weight"),
    ],
)
def test_a_tensor_that_does_not_arrive_is_named_and_the_next_update_mends(family, left_out, named, engine, directories):
    model = load(directories(family))
    engine.load(directories(family))
    transport = GlooTransport("127.0.0.1", 120, 2**16)
    transport.connect(engine)
    try:
        kept = [meta for meta in checkpoint_metadata(model) if meta.name != left_out]
        tensors = ((name, value) for name, value in checkpoint_tensors(model, sharded=False) if name != left_out)
        count = len(checkpoint_metadata(model)) - 1
        with pytest.raises(RuntimeError, match=f"{count} tensors were announced, and 1 parameters of .*: {named}"):
            transport.send(engine, kept, tensors)
        engine.recover()
        transport.send(engine, checkpoint_metadata(model), checkpoint_tensors(model, sharded=False))
        assert difference(engine, model) < BOUND
    finally:
        transport.close()
