"""A base in 4 bits, which bitsandbytes also does on a CPU: servers get what the trainer computes with."""

import pytest
import torch
from peft import get_peft_model
from transformers import AutoModelForCausalLM

from tests.models.test_lora import CONFIG
from trainers.models.checkpoint_format import checkpoint_metadata, checkpoint_tensors
from trainers.models.loading import load_model
from trainers.models.lora import new_adapter


@pytest.fixture(params=[{}, {"bnb_4bit_quant_type": "fp4", "use_bnb_nested_quant": True}], ids=["nf4", "fp4 nested"])
def config(request, tiny_teacher_dir):
    return CONFIG.with_keys(model_name_or_path=str(tiny_teacher_dir), load_in_4bit=True, **request.param)


def test_servers_get_dequantised_weights_with_the_adapter_in_them(config, tiny_teacher_dir):
    model = get_peft_model(load_model(config), new_adapter(config))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    sent = {name: tensor.clone() for name, tensor in checkpoint_tensors(model, sharded=False, bucket_bytes=2**12)}
    served = AutoModelForCausalLM.from_pretrained(tiny_teacher_dir, dtype=torch.float32)
    expected = {name: (parameter.dtype, tuple(parameter.shape)) for name, parameter in served.named_parameters()}
    assert {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in sent.items()} == expected
    assert {meta.name: (meta.dtype, meta.shape) for meta in checkpoint_metadata(model)} == expected
    served.load_state_dict(sent)
    # As in training: outside it bitsandbytes takes a CPU kernel of lower precision.
    ids = torch.tensor([[1, 50, 60, 70, 80]])
    torch.testing.assert_close(model.train()(ids).logits, served(ids).logits, rtol=0, atol=1e-4)


def test_layers_without_adapter_are_dequantised_as_well(config, tiny_teacher_dir):
    model = get_peft_model(load_model(config), new_adapter(config.with_keys(lora_target_modules=["q_proj"])))
    sent = dict(checkpoint_tensors(model, sharded=False))
    base = AutoModelForCausalLM.from_pretrained(tiny_teacher_dir, dtype=torch.float32).state_dict()
    name = "model.layers.0.mlp.up_proj.weight"
    error = (sent[name] - base[name]).abs().mean() / base[name].abs().mean()
    assert 0.01 < error < 0.25
    assert torch.equal(sent["lm_head.weight"], base["lm_head.weight"])
