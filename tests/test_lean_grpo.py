"""The lean trainer learns what TRL's learns: same weights after a step, from fewer tokens."""

import random
from unittest.mock import patch

import pytest
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer
from trl.trainer import grpo_trainer

from tests.tiny import build_model, build_tokenizer
from trainers.lean_grpo import LeanGRPOTrainer

pytestmark = pytest.mark.slow
GENERATIONS, PER_DEVICE, BATCHES = 4, 4, 4
TOLERANCE = 2e-6


class NoServers:
    """Stands where TRL expects its vLLM client; weights go nowhere."""

    def __init__(self, **_):
        self.vllm_client = self

    def get_server_info(self):
        return {"model_config": {"logprobs_mode": "processed_logprobs"}}

    def sync_weights(self):
        pass


def lessons(prompts, trainer):
    """Prompts and completions of very different lengths, sampled by nobody in particular; every fifth is masked out."""
    chance = random.Random(7)
    widths = {prompt[-1]["row"]: chance.randrange(4, 60) for prompt in prompts}
    rows = [prompt[-1]["row"] for prompt in prompts]
    completions = [
        [chance.randrange(3, 300) for _ in range(min(60, int(chance.lognormvariate(2, 1)) + 1))]
        + [trainer.processing_class.eos_token_id] * (index % 2)
        for index, _ in enumerate(rows)
    ]
    return {
        "prompt_ids": [[3 + row * 7 % 300] * widths[row] for row in rows],
        "completion_ids": completions,
        "logprobs": [[-chance.uniform(3.0, 9.0) for _ in ids] for ids in completions],
        "env_mask": [[int(index % 5 > 0)] * len(ids) for index, ids in enumerate(completions)],
        "lesson_reward": [None if index % 5 == 0 else chance.random() for index in range(len(rows))],
    }


def reward(completions, lesson_reward, **_):
    return lesson_reward


def trained(kind, tmp_path, **settings):
    """A trainer after one optimizer step of plain gradient descent, and what its models were given to compute."""
    tokenizer = build_tokenizer()
    model = build_model(tokenizer, tied=False, seed=0)
    model.save_pretrained(tmp_path / "model")
    model.config._name_or_path = model.name_or_path = str(tmp_path / "model")
    rows = [{"prompt": [{"role": "user", "content": "?", "row": row}]} for row in range(8)]
    arguments = {
        **{"output_dir": str(tmp_path), "use_cpu": True, "bf16": False, "report_to": "none", "use_vllm": True},
        **{"per_device_train_batch_size": PER_DEVICE, "gradient_accumulation_steps": BATCHES, "max_steps": 1},
        **{"num_generations": GENERATIONS, "optim": "sgd", "learning_rate": 1.0, "max_grad_norm": 0.0},
        **{"lr_scheduler_type": "constant", "loss_type": "dapo", "vllm_importance_sampling_mode": "token_truncate"},
        **{"save_strategy": "no", "logging_steps": 1, "vllm_mode": "server", "seed": 0, "shuffle_dataset": False},
        **{"max_completion_length": 60, "gradient_checkpointing": False},
    }
    with patch.object(grpo_trainer, "VLLMGeneration", NoServers):
        trainer = kind(
            model=model,
            args=GRPOConfig(**(arguments | settings)),
            reward_funcs=reward,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            rollout_func=lessons,
        )
    seen = []
    for name, watched in (("policy", trainer.model), ("reference", trainer.ref_model)):
        if watched is not None:
            watched.model.register_forward_pre_hook(
                lambda _, given, kwargs, name=name: seen.append(
                    (name, torch.is_grad_enabled(), kwargs["input_ids"].numel(), int(kwargs["attention_mask"].sum()))
                ),
                with_kwargs=True,
            )
    trainer.train()
    return trainer, seen


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"beta": 0.1},
        {"loss_type": "grpo", "vllm_importance_sampling_mode": "token_mask", "vllm_importance_sampling_clip_min": 0.5},
        {"loss_type": "dr_grpo", "vllm_importance_sampling_mode": "sequence_mask"},
        {"loss_type": "cispo", "vllm_importance_sampling_mode": "sequence_truncate"},
        {"importance_sampling_level": "sequence", "loss_type": "grpo"},
        {"loss_type": "vespo"},
        {"vllm_importance_sampling_correction": False, "temperature": 0.7},
        {"mask_truncated_completions": True},
        {"off_policy_mask_threshold": 0.5},
        {"gradient_checkpointing": True},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())) or "default",
)
def test_a_step_changes_the_weights_as_trls_does(settings, tmp_path):
    lean, _ = trained(LeanGRPOTrainer, tmp_path / "lean", **settings)
    plain, _ = trained(GRPOTrainer, tmp_path / "plain", **settings)
    expected = dict(plain.model.named_parameters())
    start = dict(build_model(build_tokenizer(), tied=False, seed=0).named_parameters())
    moved = max((expected[name] - start[name]).abs().max().item() for name in expected)
    assert moved > 1e-3
    for name, parameter in lean.model.named_parameters():
        assert torch.allclose(parameter, expected[name], atol=TOLERANCE * max(1.0, moved)), name
    ours, theirs = (next(row for row in t.state.log_history if "grad_norm" in row) for t in (lean, plain))
    for name in theirs:
        if name.startswith(("sampling/", "reward", "loss", "grad_norm", "num_tokens")):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-4), name


def test_little_is_computed_on_padding_and_no_pass_is_run_twice(tmp_path):
    _, seen = trained(LeanGRPOTrainer, tmp_path / "lean", beta=0.1)
    passes = {}
    for name, graded, computed, needed in seen:
        total = passes.setdefault((name, graded), [0, 0, 0])
        for place, value in enumerate((1, computed, needed)):
            total[place] += value
    assert {key: count for key, (count, _, _) in passes.items()} == {
        ("policy", True): BATCHES,
        ("reference", False): BATCHES,
    }
    assert all(computed / needed < 1.3 for _, computed, needed in passes.values())
    _, seen = trained(GRPOTrainer, tmp_path / "plain", beta=0.1)
    computed, needed = (sum(row[place] for row in seen if row[:2] == ("policy", True)) for place in (2, 3))
    assert computed / needed > 1.8


@pytest.mark.parametrize(
    "settings", [{"num_iterations": 2}, {"steps_per_generation": 8}, {"vllm_importance_sampling_correction": False}]
)
def test_old_log_probabilities_are_computed_where_they_are_needed(settings, tmp_path):
    _, seen = trained(LeanGRPOTrainer, tmp_path, **settings)
    old = sum(name == "policy" and not graded for name, graded, _, _ in seen)
    assert old == {"num_iterations": BATCHES, "steps_per_generation": 8}.get(next(iter(settings)), 0)
