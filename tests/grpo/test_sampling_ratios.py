"""On-policy the importance ratio is 1, whatever sampling keys are set: a server samples, the trainer computes.

The table of docs/architecture/training-step.md is what `python -m pytest -q --log-cli-level=INFO` shows of this file.
"""

import asyncio
import logging
import random

import pytest
import torch
from trl import GRPOTrainer

from tests.support.bare_trainer import build
from trainers.configuration.checks.rules import LEAST_TEMPERATURE
from trainers.generation.types import Message, Prompt
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.grpo.trl.sampled_head import sampling_of
from trainers.grpo.trl.unpadded_trainer import UnpaddedGRPOTrainer

pytestmark = [pytest.mark.slow, pytest.mark.servers]
logger = logging.getLogger(__name__)

RATIO = "sampling/importance_sampling_ratio/"
KEYS = [
    {"temperature": 1.0},
    {"temperature": 0.6},
    {"top_p": 0.5},
    {"top_p": 0.95},
    {"top_k": 5},
    {"min_p": 0.1},
    {"repetition_penalty": 1.2},
    {"repetition_penalty": 0.8},
    {"temperature": 0.7, "top_p": 0.9, "top_k": 20, "min_p": 0.02, "repetition_penalty": 1.1},
]
RIGHT_IN_TRL = ["temperature"]


@pytest.fixture
def lessons(servers):
    """A rollout function that samples from the teacher's server as the trainer's own keys say."""

    async def sampled(prompts, sampling):
        pool = EndpointPool.from_specs([servers.teacher])
        try:
            return await pool.generate(prompts, n=4, sampling=sampling, seed=3, logprobs=True)
        finally:
            await pool.aclose()

    def rollout(prompts, trainer):
        rows = list(dict.fromkeys(prompt[-1]["row"] for prompt in prompts))
        asked = [Prompt((Message("user", "How many apples and eggs? " * (1 + row % 3) + f"{row}"),)) for row in rows]
        made = [
            (generation.prompt_ids, completion)
            for generation in asyncio.run(sampled(asked, sampling_of(trainer.args)))
            for completion in generation.completions
        ]
        chance = random.Random(1)
        return {
            "prompt_ids": [list(prompt_ids) for prompt_ids, _ in made],
            "completion_ids": [list(completion.token_ids) for _, completion in made],
            "logprobs": [list(completion.logprobs) for _, completion in made],
            "lesson_reward": [chance.random() for _ in made],
        }

    return rollout


class Watched(UnpaddedGRPOTrainer):
    """Keeps the ratio of every token that it trains on."""

    def __init__(self, *args, **kwargs):
        self.ratios = []
        super().__init__(*args, **kwargs)

    def _correct(self, micro_batch, logprobs):
        super()._correct(micro_batch, logprobs)
        self.ratios.append(micro_batch["importance_sampling_ratio"][micro_batch["completion_mask"].bool()])


def first_step(kind, directory, lessons, **settings):
    """Train for a step, in which policy, reference and server hold the same weights; return the trainer and its log."""
    trainer = build(kind, directory, lessons, **{"beta": 0.1, "max_completion_length": 40, **settings})
    trainer.train()
    return trainer, next(row for row in trainer.state.log_history if "grad_norm" in row)


@pytest.mark.parametrize("keys", KEYS, ids=lambda keys: " ".join(f"{key}={value}" for key, value in keys.items()))
def test_the_ratio_is_one_on_policy(keys, lessons, tmp_path):
    trainer, ours = first_step(Watched, tmp_path / "ours", lessons, **keys)
    _, trl = first_step(GRPOTrainer, tmp_path / "trl", lessons, **keys)
    logger.info("%s | %s | %s", " ".join(f"{key}={value}" for key, value in keys.items()), shown(trl), shown(ours))
    assert ours[f"{RATIO}mean"] == pytest.approx(1.0, abs=1e-3)
    # A token at the edge may be kept on one side only, where rounding differs.
    away = (torch.cat(trainer.ratios) - 1.0).abs()
    assert (away > 1e-3).float().mean() < 0.01
    assert away.max() < 0.1
    assert ours["kl"] == pytest.approx(0.0, abs=1e-6)
    assert (trl["sampling/sampling_logp_difference/max"] > 1e-2) == (list(keys) != RIGHT_IN_TRL)


def test_a_second_iteration_compares_with_the_same_distribution(lessons, tmp_path):
    keys = {"top_p": 0.5, "num_iterations": 2, "max_steps": 2, "learning_rate": 1e-3}
    _, logged = first_step(UnpaddedGRPOTrainer, tmp_path, lessons, **keys)
    assert logged[f"{RATIO}mean"] == pytest.approx(1.0, abs=1e-3)


def test_sequences_are_not_masked_for_being_sampled_from_a_nucleus(lessons, tmp_path):
    keys = {"top_p": 0.95, "vllm_importance_sampling_mode": "sequence_mask", "beta": 0.0}
    _, ours = first_step(UnpaddedGRPOTrainer, tmp_path / "ours", lessons, **keys)
    _, full = first_step(UnpaddedGRPOTrainer, tmp_path / "full", lessons, **keys | {"top_p": 1.0})
    assert ours["grad_norm"] == pytest.approx(full["grad_norm"], rel=0.5)


def test_the_least_temperature_is_vllms():
    from vllm.sampling_params import _MAX_TEMP

    assert _MAX_TEMP == LEAST_TEMPERATURE


def shown(logged):
    """The mean ratio, its extremes, and the norm of the gradient, as the table has them."""
    low, mean, high = (logged[f"{RATIO}{statistic}"] for statistic in ("min", "mean", "max"))
    return f"{mean:.4f} ({low:.4f} to {high:.4f}) | {logged['grad_norm']:.3f}"
