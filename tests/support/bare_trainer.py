"""Trainers without servers: a tiny model, and lessons of chosen lengths that nobody generated."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer
from trl.trainer import grpo_trainer

from tests.support.tiny import build_model, build_tokenizer
from trainers.grpo.trl.unpadded_trainer import UnpaddedGRPOTrainer

Lessons = Callable[[list[Any], Any], dict[str, list[Any]]]


class NoServers:
    """Stands where TRL expects its vLLM client; weights go nowhere."""

    def __init__(self, **_: Any) -> None:
        self.vllm_client = self

    def get_server_info(self) -> dict[str, Any]:
        """Return the part of a server's settings that TRL looks at."""
        return {"model_config": {"logprobs_mode": "processed_logprobs"}}

    def sync_weights(self) -> None:
        """Nobody to tell."""


@dataclass(frozen=True)
class Lengths:
    """Tokens of prompts and completions, log-normal with these medians and spreads."""

    prompt: float = 25.0
    prompt_sigma: float = 0.6
    completion: float = 7.0
    completion_sigma: float = 1.0
    longest: int = 60

    def lessons(self, prompts: list[Any], trainer: Any) -> dict[str, list[Any]]:
        """A rollout function: every fifth lesson is masked out, every second completion ends by itself."""
        chance = random.Random(7 + trainer.accelerator.process_index)
        rows = [prompt[-1]["row"] for prompt in prompts]
        widths = {row: self._draw(chance, self.prompt, self.prompt_sigma) for row in sorted(set(rows))}
        completions = [
            [chance.randrange(3, 300) for _ in range(self._draw(chance, self.completion, self.completion_sigma))]
            + [trainer.processing_class.eos_token_id] * (index % 2)
            for index in range(len(rows))
        ]
        return {
            "prompt_ids": [[3 + row * 7 % 300] * widths[row] for row in rows],
            "completion_ids": completions,
            "logprobs": [[-chance.uniform(3.0, 9.0) for _ in ids] for ids in completions],
            "env_mask": [[int(index % 5 > 0)] * len(ids) for index, ids in enumerate(completions)],
            "lesson_reward": [None if index % 5 == 0 else chance.random() for index in range(len(rows))],
        }

    def _draw(self, chance: random.Random, median: float, sigma: float) -> int:
        return min(self.longest, max(1, round(median * chance.lognormvariate(0.0, sigma))))


def reward(completions: list[Any], lesson_reward: list[float | None], **_: Any) -> list[float | None]:
    """The rewards that came with the lessons."""
    return lesson_reward


def build(kind: type[GRPOTrainer], directory: Path, lessons: Lessons, **settings: Any) -> GRPOTrainer:
    """A trainer of plain gradient descent, one step of 4 micro-batches of 4 unless the settings say otherwise."""
    tokenizer = build_tokenizer()
    model = build_model(tokenizer, tied=False, seed=0)
    model.save_pretrained(directory / "model")
    model.config._name_or_path = model.name_or_path = str(directory / "model")
    rows = [{"prompt": [{"role": "user", "content": "?", "row": row}]} for row in range(64)]
    defaults = {
        **{"output_dir": str(directory), "use_cpu": True, "bf16": False, "report_to": "none", "use_vllm": True},
        **{"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4, "max_steps": 1, "num_generations": 4},
        **{"optim": "sgd", "learning_rate": 1.0, "max_grad_norm": 0.0, "lr_scheduler_type": "constant"},
        **{"loss_type": "dapo", "vllm_importance_sampling_mode": "token_truncate", "max_completion_length": 60},
        **{"save_strategy": "no", "logging_steps": 1, "vllm_mode": "server", "seed": 0, "shuffle_dataset": False},
        **{"gradient_checkpointing": False, "disable_tqdm": True},
    }
    with patch.object(grpo_trainer, "VLLMGeneration", NoServers):
        return kind(
            model=model,
            args=GRPOConfig(**(defaults | settings)),
            reward_funcs=reward,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            rollout_func=lessons,
        )


class Observed(UnpaddedGRPOTrainer):
    """Keeps the micro-batches that it trains on, masked sequences included, in `seen`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.seen: list[dict[str, torch.Tensor]] = []
        super().__init__(*args, **kwargs)

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        found = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if self._micro_batch is not None:
            logprobs, entropies = (values.detach() for values in found[:2] if values is not None)
            batch = {"logprobs": logprobs, "entropies": entropies} | self._micro_batch
            self.seen.append({name: value for name, value in batch.items() if isinstance(value, torch.Tensor)})
        return found


@dataclass(frozen=True)
class Pass:
    """One forward pass: of which model, for gradients or not, over how many tokens, how many of them no padding."""

    model: str
    graded: bool
    computed: int
    needed: int


def watch(trainer: GRPOTrainer) -> list[Pass]:
    """Notes every forward pass from now on, in the list that it returns."""
    seen: list[Pass] = []

    def note(name: str) -> Callable[..., None]:
        def hook(_: Any, __: Any, given: dict[str, Any]) -> None:
            mask = given["attention_mask"]
            seen.append(Pass(name, torch.is_grad_enabled(), mask.numel(), int(mask.sum())))

        return hook

    for name, model in (("policy", trainer.model), ("reference", trainer.ref_model)):
        if model is not None:
            model.model.register_forward_pre_hook(note(name), with_kwargs=True)
    return seen
