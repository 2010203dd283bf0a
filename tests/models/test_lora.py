"""LoRA adapters: which directory holds one, what servers get of them, how they are trained further and merged."""

import json

import pytest
import torch
from peft import LoraConfig, PeftConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.serving.test_weight_sync import assert_logprobs_are_those_of, served
from tests.support.data_configs import run_config
from trainers.models.checkpoint_format import checkpoint_metadata, checkpoint_tensors
from trainers.models.loading import load_model, load_tokenizer
from trainers.models.lora import align_reference, new_adapter, refuse_unmergeable
from trainers.models.merge_adapter import main as merge
from trainers.problems import ConfigurationError
from trainers.serving.adapter_files import read_adapter
from trainers.serving.processes.server_group import ServerGroup
from trainers.serving.server_spec import ServerSpec
from trainers.serving.weights.weight_sync import WeightSync, make_transport

CONFIG = run_config("teacher_grpo", dtype="float32", use_peft=True, lora_r=4, lora_alpha=8)


def load(directory):
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)


def adapted(directory, **options):
    """A base with an adapter that changes it, as after training."""
    settings = {"task_type": "CAUSAL_LM", "r": 4, "target_modules": "all-linear"} | options
    torch.manual_seed(0)
    model = get_peft_model(load(directory), LoraConfig(**settings))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def write_adapter(base, directory, **options):
    adapted(base, **options).save_pretrained(directory)
    AutoTokenizer.from_pretrained(base).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def adapter_dir(tiny_teacher_dir, tmp_path_factory):
    return write_adapter(tiny_teacher_dir, tmp_path_factory.mktemp("adapters") / "sft")


def logits(model):
    with torch.no_grad():
        return model(torch.tensor([[1, 50, 60, 70]])).logits


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("options", [{}, {"use_rslora": True, "lora_alpha": 7}, {"target_modules": ["q_proj"]}])
def test_servers_get_the_merged_weights_under_the_names_of_the_base(tiny_teacher_dir, tiny_student_dir, tied, options):
    model = adapted(tiny_student_dir if tied else tiny_teacher_dir, **options)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    sent = {name: tensor.clone() for name, tensor in checkpoint_tensors(model, sharded=False, bucket_bytes=2**12)}
    announced = [(meta.name, meta.dtype, meta.shape) for meta in checkpoint_metadata(model)]
    assert announced == [(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in sent.items()]
    # Nothing was merged in place.
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    merged = dict(model.merge_and_unload().named_parameters())
    assert set(merged) == set(sent)
    for name, parameter in merged.items():
        torch.testing.assert_close(sent[name], parameter.data, rtol=0, atol=1e-6)
    base = dict(load(tiny_student_dir if tied else tiny_teacher_dir).named_parameters())
    changed = {name for name in sent if not torch.equal(sent[name], base[name])}
    targets = "q_proj" if "target_modules" in options else "_proj"
    assert changed == {name for name in base if targets in name}


def test_a_merged_weight_is_rounded_once_to_the_precision_of_the_base(tiny_teacher_dir):
    model = adapted(tiny_teacher_dir)
    name = "model.layers.0.mlp.up_proj"
    layer = model.get_base_model().get_submodule(name)
    exact = layer.base_layer.weight.data.to(torch.bfloat16).float() + layer.get_delta_weight("default")
    for parameter in layer.base_layer.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    sent = dict(checkpoint_tensors(model, sharded=False))[f"{name}.weight"]
    assert torch.equal(sent, exact.to(torch.bfloat16))


def test_a_directory_with_an_adapter_says_of_what_it_is_one(adapter_dir, tiny_teacher_dir):
    adapter = read_adapter(str(adapter_dir))
    assert (adapter.base, adapter.rank, adapter.tokenizer) == (str(tiny_teacher_dir), 4, str(adapter_dir))
    assert read_adapter(str(tiny_teacher_dir)) is None
    assert read_adapter("Qwen/Qwen3-8B") is None


def test_a_saved_adapter_is_what_is_trained_further(adapter_dir, tiny_teacher_dir):
    config = CONFIG.with_keys(model_name_or_path=str(adapter_dir))
    model = load_model(config)
    assert new_adapter(config) is None
    torch.testing.assert_close(logits(model), logits(adapted(tiny_teacher_dir)))
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        name for name, _ in model.named_parameters() if "lora_" in name
    }
    assert load_tokenizer(config).chat_template


def test_a_new_adapter_has_the_keys_of_the_configuration(tiny_teacher_dir):
    keys = {"lora_target_modules": ["q_proj"], "use_rslora": True}
    config = CONFIG.with_keys(model_name_or_path=str(tiny_teacher_dir), **keys)
    adapter = new_adapter(config)
    assert (adapter.r, adapter.lora_alpha, adapter.lora_dropout) == (4, 8, 0.0)
    assert (adapter.target_modules, adapter.use_rslora) == ({"q_proj"}, True)
    assert new_adapter(config.with_keys(use_peft=False)) is None


def test_the_copy_that_kl_is_measured_against_gets_the_adapters_precision(adapter_dir):
    model = load_model(CONFIG.with_keys(model_name_or_path=str(adapter_dir)))
    model.add_adapter("ref", model.peft_config["default"])
    for name, parameter in model.named_parameters():
        if ".default." in name:
            parameter.data = parameter.data.to(torch.bfloat16)
    align_reference(model)
    assert {p.dtype for name, p in model.named_parameters() if "lora_" in name} == {torch.bfloat16}


@pytest.mark.parametrize("change", [{"use_dora": True}, {"bias": "all"}, {"modules_to_save": ["lm_head"]}])
def test_adapters_that_are_more_than_lora_are_refused_with_the_way_out(adapter_dir, change):
    adapter, saved = read_adapter(str(adapter_dir)), PeftConfig.from_pretrained(adapter_dir)
    refuse_unmergeable(adapter, saved)
    for name, value in change.items():
        setattr(saved, name, value)
    with pytest.raises(ConfigurationError, match=f"{next(iter(change))}(.|\n)*python -m trainers.models.merge_adapter"):
        refuse_unmergeable(adapter, saved)


def test_merging_writes_a_whole_model_that_says_the_same(adapter_dir, tiny_teacher_dir, tmp_path, capsys):
    assert merge([str(adapter_dir), str(tmp_path / "merged")]) == 0
    torch.testing.assert_close(logits(load(tmp_path / "merged")), logits(adapted(tiny_teacher_dir)), rtol=0, atol=1e-5)
    assert read_adapter(str(tmp_path / "merged")) is None
    assert AutoTokenizer.from_pretrained(tmp_path / "merged").chat_template
    assert json.loads((tmp_path / "merged/config.json").read_text())["dtype"] == "float32"
    assert merge([str(tiny_teacher_dir), str(tmp_path / "no")]) == 2
    assert "adapter_config.json" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.servers
def test_a_synced_server_is_the_adapted_model(servers):
    model = adapted(servers.teacher.model).eval()
    sync = WeightSync([servers.teacher.base_url], make_transport("gloo"))
    sync.connect()
    try:
        sync.update(checkpoint_tensors(model, sharded=False, bucket_bytes=2**14), checkpoint_metadata(model), 1)
        assert_logprobs_are_those_of(model, served(servers.teacher, logprobs=True))
    finally:
        whole = load(servers.teacher.model)
        sync.update(checkpoint_tensors(whole, sharded=False), checkpoint_metadata(whole), 0)
        sync.close()


@pytest.mark.slow
@pytest.mark.servers
def test_a_server_that_applies_an_adapter_says_what_the_merged_model_says(adapter_dir, free_port, tmp_path):
    adapter = read_adapter(str(adapter_dir))
    settings = {"host": "127.0.0.1", "port": free_port, "dtype": "float32", "max_model_len": 256, "max_num_seqs": 16}
    spec = ServerSpec("teacher", 0, str(adapter_dir), adapter=adapter, **settings)
    with ServerGroup([spec], tmp_path, start_timeout_s=300):
        generations = served(spec, logprobs=True)
    merged = adapted(adapter.base).merge_and_unload().eval()
    assert_logprobs_are_those_of(merged, generations)
