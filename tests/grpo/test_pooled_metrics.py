"""Metrics of a step are those of all its tokens, or sequences: logged against worked out, on one rank and on two."""

import json
import math

import pytest
import torch
from trl import GRPOTrainer

from tests.support.bare_trainer import Lengths, Observed, build
from tests.support.ranks import on_two_ranks
from trainers.grpo.unpadded.pooled_metrics import (
    completion_counts,
    completion_metrics,
    is_pooled,
    micro_batch_counts,
    pooled,
)

SETTINGS = {
    # Micro-batches of one to several lessons; some hold none that is trained on.
    **{"per_device_train_batch_size": 1, "gradient_accumulation_steps": 16, "beta": 0.1},
    # The second step is trained on the rollout of the first, and the two are logged together.
    **{"num_iterations": 2, "max_steps": 2, "logging_steps": 2, "epsilon": 1e-3, "epsilon_high": 2e-3},
}
VARIANTS = [
    {},
    {"loss_type": "grpo"},
    {"loss_type": "grpo", "importance_sampling_level": "sequence"},
    {"loss_type": "cispo", "epsilon_high": 1.0},
    {"loss_type": "vespo"},
    {"vllm_importance_sampling_mode": "sequence_truncate", "importance_sampling_level": "sequence"},
]


def worked_out(seen, settings):
    """Every metric of micro-batches, from all their tokens one by one."""
    rows = [
        {name: value[row] for name, value in batch.items() if value.ndim > 0 and name != "num_items_in_batch"}
        for batch in seen
        for row in range(len(batch["logprobs"]))
    ]
    masks = [(row["completion_mask"] * row["tool_mask"]).bool() for row in rows]
    lessons = [
        {name: value[mask] if value.shape == mask.shape else value for name, value in row.items()}
        for row, mask in zip(rows, masks, strict=True)
        if mask.any()
    ]
    assert len(lessons) < len(rows)
    assert any(not (batch["completion_mask"] * batch["tool_mask"]).any() for batch in seen)
    ratios, kls = [], []
    for lesson in lessons:
        log_ratio = lesson["logprobs"] - lesson["old_per_token_logps"]
        log_ratio = log_ratio.mean()[None] if settings.get("importance_sampling_level") == "sequence" else log_ratio
        ratios.append(log_ratio.exp())
        away = lesson["ref_per_token_logps"] - lesson["logprobs"]
        kls.append((away.exp() - away - 1) * ratios[-1])
    corrections = torch.cat([lesson["importance_sampling_ratio"] for lesson in lessons])
    differences = torch.cat([(x["old_per_token_logps"] - x["sampling_per_token_logps"]).abs() for x in lessons])
    expected = {
        "kl": torch.cat(kls).mean(),
        "entropy": torch.cat([lesson["entropies"] for lesson in lessons]).mean(),
        "sampling/sampling_logp_difference/mean": differences.mean(),
        "sampling/sampling_logp_difference/max": differences.max(),
        "sampling/importance_sampling_ratio/mean": corrections.mean(),
        "sampling/importance_sampling_ratio/min": corrections.min(),
    }
    return expected | _of_the_loss(lessons, ratios, settings)


def _of_the_loss(lessons, ratios, settings):
    loss = settings.get("loss_type", "dapo")
    if loss == "vespo":
        phi = [
            GRPOTrainer.get_gamma_weights(
                lesson["advantages"].view(1, 1),
                (lesson["logprobs"] - lesson["old_per_token_logps"])[None],
                torch.ones(1, len(lesson["logprobs"])),
                lesson["importance_sampling_ratio"][None],
            )
            for lesson in lessons
        ]
        return {"vespo/phi_seq_mean": torch.cat(phi).mean()}
    pairs = list(zip(ratios, (lesson["advantages"] for lesson in lessons), strict=True))
    if loss == "cispo":
        clipped = [(ratio > settings["epsilon_high"]) & (advantage > 0) for ratio, advantage in pairs]
        return {"cispo_clip_ratio": torch.cat(clipped).float().mean()}
    low = [((ratio < 1 - 1e-3) & (advantage < 0)).float() for ratio, advantage in pairs]
    high = [((ratio > 1 + 2e-3) & (advantage > 0)).float() for ratio, advantage in pairs]
    return {
        "clip_ratio/low_mean": torch.cat(low).mean(),
        "clip_ratio/high_mean": torch.cat(high).mean(),
        "clip_ratio/region_mean": (torch.cat(low) + torch.cat(high)).mean(),
        "clip_ratio/low_min": min(values.mean() for values in low),
        "clip_ratio/high_max": max(values.mean() for values in high),
    }


def assert_logged(history, seen, settings):
    """Checks that what was logged of two steps is what their tokens say."""
    logged = next(row for row in history if "grad_norm" in row)
    for name, value in worked_out(seen, settings).items():
        assert logged[name] == pytest.approx(value.item(), rel=1e-4, abs=1e-6), name
    assert logged["kl"] > 1e-4
    return logged


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(map(str, variant.values())) or "default")
def test_every_metric_is_that_of_all_tokens(variant, tmp_path):
    trainer = build(Observed, tmp_path, Lengths().lessons, **SETTINGS | variant)
    trainer.train()
    assert_logged(trainer.state.log_history, trainer.seen, SETTINGS | variant)


@pytest.mark.slow
@pytest.mark.parametrize("variant", [VARIANTS[0], VARIANTS[2]], ids=["tokens", "sequences"])
def test_every_metric_is_that_of_all_ranks(variant, tmp_path, free_port):
    settings = SETTINGS | variant | {"ddp_backend": "gloo"}
    on_two_ranks(["tests.support.lean_ranks", "observed", str(tmp_path), json.dumps(settings)], free_port)
    seen = [batch for rank in range(2) for batch in torch.load(tmp_path / f"{rank}/seen.pt")]
    logged = assert_logged(json.loads((tmp_path / "logged.json").read_text()), seen, settings)
    lessons = [(batch["completion_mask"] * batch["tool_mask"]).sum(1) for batch in seen]
    lengths = torch.cat(lessons)
    assert logged["completions/mean_length"] == pytest.approx(lengths[lengths > 0].float().mean().item())
    assert logged["completions/min_length"] == lengths[lengths > 0].min().item()


@pytest.mark.slow
@pytest.mark.parametrize("loss_type", ["dapo", "grpo"])
def test_the_policy_loss_is_that_of_the_step(loss_type, tmp_path):
    settings = {"loss_type": loss_type, "entropy_coef": 0.0, "use_adaptive_entropy": True, "entropy_target": -1.0}
    trainer = build(Observed, tmp_path, Lengths().lessons, **settings)
    trainer.train()
    logged = next(row for row in trainer.state.log_history if "grad_norm" in row)
    assert logged["policy_loss"] == pytest.approx(logged["loss"], abs=1e-4)


COUNTS = [(30, 2, 2), (10, 1, 2), (0, 0, 1)]
HOW = {"loss_type": "dapo", "per_sequence": False, "per_step": 3}


def test_a_micro_batch_weighs_what_it_is_trained_on():
    values = {"entropy": [1.0, 5.0, 0.0], "clip_ratio/low_min": [0.2, math.nan, 0.1], "reward": [1.0]}
    assert pooled(values, COUNTS, **HOW) == {"entropy": pytest.approx(2.0), "clip_ratio/low_min": 0.1}


def test_masked_sequences_do_not_count_where_a_ratio_is_of_a_sequence():
    values = {"clip_ratio/low_mean": [1.0, 0.5, 0.0], "clip_ratio/low_min": [1.0, 0.0, 0.0]}
    assert pooled(values, COUNTS, **HOW | {"per_sequence": True}) == {
        "clip_ratio/low_mean": pytest.approx(1.0),
        "clip_ratio/low_min": 1.0,
    }


def test_a_micro_batch_is_counted_by_what_is_trained_on():
    masks = {
        "completion_mask": torch.tensor([[1, 1, 0], [1, 1, 1], [0, 0, 0]]),
        "tool_mask": torch.tensor([[1, 0, 1], [1, 1, 1], [1, 1, 1]]),
    }
    assert micro_batch_counts(masks).tolist() == [4, 2, 3]
    assert micro_batch_counts({"completion_mask": masks["completion_mask"]}).tolist() == [5, 2, 3]


@pytest.mark.parametrize("name", ["clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean", "kl"])
@pytest.mark.parametrize(("per_sequence", "expected"), [(False, (3 + 5) / 40), (True, (0.2 + 1.0) / 3)])
def test_a_ratio_is_of_a_token_or_of_a_sequence(name, per_sequence, expected):
    found = pooled({name: [0.1, 0.5, 0.0]}, COUNTS, **HOW | {"per_sequence": per_sequence})
    assert found == {name: pytest.approx(expected if name != "kl" else 8 / 40)}


def test_a_masked_sequence_counts_as_one_with_trl_and_not_at_all_here():
    """Of 2, 2 and 1 sequences 2, 1 and none are trained on: 2 · 0.5, 2 · 0.75 - 1 and 1 - 1, over three."""
    assert pooled({"vespo/phi_seq_mean": [0.5, 0.75, 1.0]}, COUNTS, **HOW) == {
        "vespo/phi_seq_mean": pytest.approx((1 + 0.5 + 0) / 3)
    }


def test_extremes_are_those_of_all_micro_batches():
    values = {"clip_ratio/low_min": [0.3, math.nan, 0.2], "clip_ratio/high_max": [0.2, math.nan, 0.1]}
    assert pooled(values, COUNTS, **HOW) == {"clip_ratio/low_min": 0.2, "clip_ratio/high_max": 0.2}


@pytest.mark.parametrize(("unclipped", "expected"), [(1.0, 1.0), (0.5, 0.0)])
def test_the_least_clipped_of_sequences_is_one_where_all_are_clipped(unclipped, expected):
    values = {"clip_ratio/low_mean": [1.0, 0.5 * unclipped, 0.0], "clip_ratio/low_min": [0.0, 0.0, 0.0]}
    assert pooled(values, COUNTS, **HOW | {"per_sequence": True})["clip_ratio/low_min"] == expected


@pytest.mark.parametrize(("loss_type", "expected"), [("dapo", 6.0), ("cispo", 6.0), ("vespo", 6.0), ("grpo", 2.0)])
def test_a_loss_is_a_share_of_the_step_where_it_is_a_sum_over_tokens(loss_type, expected):
    assert pooled({"policy_loss": [1.0, 2.0, 3.0]}, COUNTS, **HOW | {"loss_type": loss_type}) == {
        "policy_loss": expected
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kl", True), ("clip_ratio/low_mean", True), ("vespo/phi_seq_mean", True), ("clip_ratio/high_max", True),
        ("policy_loss", True), ("completions/mean_length", True), ("sampling/importance_sampling_ratio/min", True),
        ("reward", False), ("learning_rate", False),
    ],
)  # fmt: skip
def test_the_metrics_that_are_taken_here(name, expected):
    assert is_pooled(name) is expected


def test_a_value_without_its_micro_batch_is_refused():
    with pytest.raises(ValueError, match="longer"):
        pooled({"kl": [0.1, 0.2]}, COUNTS, **HOW)


def test_what_nothing_can_be_said_about_is_left_out():
    assert pooled({"kl": [0.0], "clip_ratio/high_max": [math.nan]}, [(0, 0, 1)], **HOW) == {}
    assert completion_metrics([(0, True)]) == {}


def test_completions_without_a_mask_are_trained_on_as_they_are():
    assert completion_counts([[5, 9], [5, 6, 7]], None, ends=[8, 9]) == [(2, True), (3, False)]


def test_completions_are_those_that_are_trained_on():
    counts = completion_counts([[5, 9], [5, 6, 7], [9]], [[1, 1], [1, 1, 1], [0]], ends=[9])
    assert completion_metrics(counts) == {
        "completions/clipped_ratio": 0.5,
        **{f"completions/{kind}_length": value for kind, value in (("mean", 2.5), ("min", 2.0), ("max", 3.0))},
        **{f"completions/{kind}_terminated_length": 2.0 for kind in ("mean", "min", "max")},
    }
