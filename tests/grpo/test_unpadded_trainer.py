"""The lean trainer learns what TRL's learns: same weights after a step, from fewer tokens."""

import json

import pytest
import torch
from trl import GRPOTrainer

from tests.support.bare_trainer import Lengths, build, watch
from tests.support.ranks import on_two_ranks
from tests.support.tiny import build_model, build_tokenizer
from trainers.grpo.trl.unpadded_trainer import UnpaddedGRPOTrainer

pytestmark = pytest.mark.slow
BATCHES = 4
TOLERANCE = 2e-6


def trained(kind, directory, **settings):
    """A trainer after one optimizer step, and what its models were given to compute."""
    trainer = build(kind, directory, Lengths().lessons, **settings)
    seen = watch(trainer)
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
        {"loss_type": "sapo"},
        {"loss_type": "luspo", "importance_sampling_level": "sequence"},
        {"vllm_importance_sampling_correction": False, "temperature": 0.7},
        {"mask_truncated_completions": True},
        {"off_policy_mask_threshold": 0.5},
        {"gradient_checkpointing": True},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())) or "default",
)
def test_a_step_changes_the_weights_as_trls_does(settings, tmp_path):
    lean, _ = trained(UnpaddedGRPOTrainer, tmp_path / "lean", **settings)
    plain, _ = trained(GRPOTrainer, tmp_path / "plain", **settings)
    expected = dict(plain.model.named_parameters())
    start = dict(build_model(build_tokenizer(), tied=False, seed=0).named_parameters())
    moved = max((expected[name] - start[name]).abs().max().item() for name in expected)
    assert moved > 1e-4
    tolerance = min(TOLERANCE * max(1.0, moved), 1e-3 * moved)
    for name, parameter in lean.model.named_parameters():
        assert torch.allclose(parameter, expected[name], atol=tolerance), name
    ours, theirs = (next(row for row in t.state.log_history if "grad_norm" in row) for t in (lean, plain))
    same = ("sampling/sampling_logp_difference", "reward", "loss", "grad_norm", "num_tokens")
    # TRL counts sequences that are masked out among those that have a ratio, with 1.
    per_token = settings.get("vllm_importance_sampling_mode", "token").startswith("token")
    for name in theirs:
        if name.startswith((*same, *(["sampling/"] if per_token else []))):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-4), name


def test_a_step_on_two_ranks_with_lessons_of_different_lengths_is_trls(tmp_path, free_port):
    settings = json.dumps({"loss_type": "grpo", "ddp_backend": "gloo", "beta": 0.1})
    for kind in ("lean", "trl"):
        on_two_ranks(["tests.support.lean_ranks", kind, str(tmp_path / kind), settings], free_port)
    lean, plain = (torch.load(tmp_path / kind / "weights.pt") for kind in ("lean", "trl"))
    start = build_model(build_tokenizer(), tied=False, seed=0).state_dict()
    assert max((plain[name] - start[name]).abs().max().item() for name in start) > 1e-3
    for name in start:
        assert torch.allclose(lean[name], plain[name], atol=TOLERANCE), name


def test_little_is_computed_on_padding_and_no_pass_is_run_twice(tmp_path):
    _, seen = trained(UnpaddedGRPOTrainer, tmp_path / "lean", beta=0.1)
    assert [(done.model, done.graded) for done in seen] == [("reference", False)] * BATCHES + [
        ("policy", True)
    ] * BATCHES
    assert padding(seen, "policy") < 1.3
    assert padding(seen, "reference") < 1.3
    _, plain = trained(GRPOTrainer, tmp_path / "plain", beta=0.1)
    assert padding(plain, "policy") > 1.5
    assert max(done.computed for done in seen) < 0.8 * max(done.computed for done in plain)


def padding(seen, model):
    """Tokens computed for each that is not padding."""
    mine = [done for done in seen if done.model == model]
    return sum(done.computed for done in mine) / sum(done.needed for done in mine)


@pytest.mark.parametrize(
    "settings", [{"num_iterations": 2}, {"steps_per_generation": 8}, {"vllm_importance_sampling_correction": False}]
)
def test_old_log_probabilities_are_computed_where_they_are_needed(settings, tmp_path):
    _, seen = trained(UnpaddedGRPOTrainer, tmp_path, **settings)
    old = sum(done.model == "policy" and not done.graded for done in seen)
    assert old == {"num_iterations": BATCHES, "steps_per_generation": 8}.get(next(iter(settings)), 0)
