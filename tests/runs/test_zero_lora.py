"""LoRA on two ranks: a new adapter under ZeRO-1, one from SFT trained further under ZeRO-3 and evaluated."""

import json
import subprocess

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.models.test_lora import write_adapter
from tests.runs.test_zero import read_jsonl, restore

pytestmark = [pytest.mark.slow, pytest.mark.servers]
STEPS = 2
LOGPROB_TOLERANCE = 1e-4
LENGTHS = [
    *("teacher_max_model_len=256", "student_max_model_len=256", "max_completion_length=24", "max_prompt_length=null"),
    *("student_max_tokens=8", "max_probe_tokens=8"),
]


def questions(path, count, offset):
    rows = [{"question": f"{n} + {offset}?", "solution": n + offset} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def arguments(directory, model, student):
    train, held_out = questions(directory / "train.jsonl", 16, 1), questions(directory / "held_out.jsonl", 4, 2)
    return [
        *("students=null", "heldout_students=null"),
        *(f"model_name_or_path={model}", f"student_model={student}", "use_peft=true", "lora_r=4", "lora_alpha=8"),
        *(f"dataset_id_or_path={train}", f"eval_dataset_id_or_path={held_out}", f"output_dir={directory}/run"),
        *("reward=tests.support.rewards.checksum", *LENGTHS, "train_batch_size=16", "per_device_train_batch_size=4"),
        *("num_generations=4", f"max_steps={STEPS}", "warmup_steps=0", "learning_rate=1e-2", "logging_steps=1"),
    ]


def launch(*command):
    done = subprocess.run(["bash", *command], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def rows_of(run):
    rows = [row for row in read_jsonl(run / "metrics.jsonl") if "reward" in row]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    # The servers sampled every step from merged weights that the trainer finds the same probabilities with.
    assert all(row["sampling/sampling_logp_difference/max"] < LOGPROB_TOLERANCE for row in rows)
    assert all(row["grad_norm"] > 0 for row in rows)
    return rows


def adapter_of(run):
    return load_file(run / "adapter_model.safetensors")


def test_a_new_adapter_under_zero1_is_trained_served_and_saved(servers, tmp_path):
    model = servers.teacher.model
    try:
        more = [f"vllm_port={servers.teacher.port}"]
        launch(
            *("scripts/launch.sh", "2", "configs/run/quickstart_rl.yaml", "zero1", "--no-preflight"),
            *(*arguments(tmp_path, model, servers.student.model), *more),
        )
    finally:
        restore(servers)
    rows = rows_of(tmp_path / "run")
    # Without an adapter the policy is its own reference.
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert rows[-1]["kl"] > 1e-4
    saved = adapter_of(tmp_path / "run")
    assert any(tensor.abs().max() > 0 for name, tensor in saved.items() if "lora_B" in name)
    assert not (tmp_path / "run/model.safetensors").exists()
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    PeftModel.from_pretrained(base, tmp_path / "run")
    assert "LoRA adapter" in (tmp_path / "run/README.md").read_text()


def test_an_adapter_from_sft_is_trained_further_under_zero3_and_then_evaluated(tiny_teacher_dir, tmp_path, free_port):
    # SFT may have dropped out: GRPO must not, or it would not find the probabilities of what the servers sampled.
    sft = write_adapter(tiny_teacher_dir, tmp_path / "sft", lora_dropout=0.1)
    launch(
        *("scripts/launch_with_server.sh", "1", "2", "configs/run/quickstart_rl.yaml", "zero3"),
        *(*arguments(tmp_path, sft, tiny_teacher_dir), f"vllm_port={free_port}", "save_strategy=steps", "save_steps=1"),
    )
    rows = rows_of(tmp_path / "run")
    # KL is measured against the adapter that training began with, not against the bare base.
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-6)
    before, after = adapter_of(sft), adapter_of(tmp_path / "run")
    assert before.keys() == after.keys()
    moved = max((after[name] - before[name]).abs().max() for name in before)
    # Adam moves a parameter by at most about the learning rate per step: it began where SFT had ended.
    assert 1e-4 < moved < 0.05
    assert not (tmp_path / "run/ref").exists()
    launch(
        *("scripts/launch_with_server.sh", "1", "0", "configs/run/evaluate.yaml", "model=world", "--no-preflight"),
        *("trainer/reward=world", f"teacher={tmp_path}/run", f"student_model={tiny_teacher_dir}", *LENGTHS),
        *(f"dataset_id_or_path={tmp_path}/held_out.jsonl", f"output_dir={tmp_path}/evaluation"),
        *(f"vllm_port={free_port}", "num_rollouts=1", "num_baselines=1"),
    )
    assert len(read_jsonl(tmp_path / "evaluation/lessons.jsonl")) == 4
