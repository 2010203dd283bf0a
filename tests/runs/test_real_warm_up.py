"""A real pretrained model is warmed up, all of its weights or an adapter, as the recipe does it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.grpo_runs import read_jsonl, weights
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.configuration.resume.decision import settle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def warm_up(model: Path, output: Path, *overrides: str) -> Path:
    """Run the recipe with short prompts in this process; return its output directory."""
    # Importing TRL takes seconds, which collecting tests need not spend.
    from trainers.sft import run

    arguments = [f"model_name_or_path={model}", f"output_dir={output}/run", "trainer/reward=world", "warmup_steps=1"]
    config, _ = settle(compose(["quickstart_real_sft", *arguments, *overrides], Machine()))
    assert config is not None
    run(config)
    return output / "run"


def losses(output: Path) -> list[float]:
    """Return the loss of each step."""
    return [row["loss"] for row in read_jsonl(output / "metrics.jsonl") if "loss" in row]


def test_a_warm_up_of_all_weights_learns_and_keeps_the_embedding_tied(smollm2, tmp_path):
    warmed = warm_up(smollm2, tmp_path, "max_steps=6", "learning_rate=5e-4")
    assert losses(warmed)[-1] < losses(warmed)[0] - 0.5
    with safe_open(warmed / "model.safetensors", "pt") as saved:
        assert "lm_head.weight" not in saved.keys()  # noqa: SIM118 - of a file
    before, after = weights(smollm2), weights(warmed)
    assert torch.equal(after["lm_head.weight"], after["model.embed_tokens.weight"])
    assert not torch.equal(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])
    kept = AutoTokenizer.from_pretrained(warmed)
    assert (kept.eos_token, len(kept)) == ("<|im_end|>", 49_152)


def test_a_warm_up_of_an_adapter_learns(smollm2, tmp_path):
    adapter = warm_up(smollm2, tmp_path, "max_steps=3", "use_peft=true", "lora_r=8", "learning_rate=2e-3")
    assert losses(adapter)[-1] < losses(adapter)[0]
    assert not (adapter / "model.safetensors").exists()
    base = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(base, adapter)
    assert any(value.abs().max() > 0 for name, value in adapted.state_dict().items() if "lora_B" in name)
