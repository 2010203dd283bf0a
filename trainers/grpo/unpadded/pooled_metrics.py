"""TRL's metrics of micro-batches as one number per log: over all tokens, or sequences, of all of them and all ranks.

TRL takes the mean of a metric's values for micro-batches as if each held as many tokens; one whose lessons are all
masked out counts as 0. Here each weighs what it holds, and what is masked out does not count. What nothing can be said
about is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch

from trainers.grpo.unpadded.micro_batches import SUMS_OVER_TOKENS, trained

Values = Mapping[str, Sequence[float]]
"""By name, one value per micro-batch, each a mean or an extreme over all ranks; NaN where there is none."""

OF_TOKENS = ("kl", "entropy")
OF_RATIOS = ("clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean", "cispo_clip_ratio")
"""Means over importance ratios, of which there is one per token or one per sequence."""
OF_SEQUENCES = ("vespo/phi_seq_mean",)
LEAST_CLIPPED = "clip_ratio/low_min"
EXTREMES: Mapping[str, Callable[[Sequence[float]], float]] = {LEAST_CLIPPED: min, "clip_ratio/high_max": max}
POLICY_LOSS = "policy_loss"
"""The loss without KL and entropy; TRL logs it where there is a bonus for entropy."""
OF_MASKED = {"vespo/phi_seq_mean": 1.0}
"""Value that a masked sequence adds to TRL's sum, where that is not 0."""


def micro_batch_counts(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return how many tokens and how many sequences of a micro-batch are trained on, and how many it has (3,)."""
    tokens = trained(inputs).sum(1)
    return torch.stack([tokens.sum(), (tokens > 0).sum(), (tokens >= 0).sum()])


def pooled(
    values: Values, counts: Sequence[Sequence[float]], *, loss_type: str, per_sequence: bool, per_step: int
) -> dict[str, float]:
    """Return metrics over all that the micro-batches hold.

    Args:
        values: of micro-batches; names that are not of this module are ignored.
        counts: of each micro-batch, over all ranks, as `micro_batch_counts` has them.
        loss_type: TRL's.
        per_sequence: whether a sequence has one importance ratio (`importance_sampling_level=sequence`).
        per_step: micro-batches of an optimizer step.
    """
    tokens = [(count, count) for count, _, _ in counts]
    sequences = [(counted, kept) for _, kept, counted in counts]
    weights = dict.fromkeys(OF_TOKENS, tokens) | dict.fromkeys(OF_SEQUENCES, sequences)
    weights |= dict.fromkeys(OF_RATIOS, sequences if per_sequence else tokens)
    found = {name: _weighed(values[name], weights[name], OF_MASKED.get(name, 0.0)) for name in weights & values.keys()}
    for name in EXTREMES.keys() & values.keys():
        found[name] = EXTREMES[name]([value for value in values[name] if not math.isnan(value)] or [math.nan])
    if per_sequence and LEAST_CLIPPED in found:
        # Sequences that are masked out are among TRL's, unclipped.
        found[LEAST_CLIPPED] = float(found["clip_ratio/low_mean"] > 1 - 1e-6)
    if POLICY_LOSS in values:
        # Losses per token are sums, of which a micro-batch has its share.
        found[POLICY_LOSS] = mean(values[POLICY_LOSS]) * (per_step if loss_type in SUMS_OVER_TOKENS else 1)
    return {name: value for name, value in found.items() if not math.isnan(value)}


def is_pooled(name: str) -> bool:
    """Return whether a metric of TRL's is taken over all of a step here."""
    prefixes = ("completions/", "sampling/")
    return name in (*OF_TOKENS, *OF_RATIOS, *OF_SEQUENCES, *EXTREMES, POLICY_LOSS) or name.startswith(prefixes)


def completion_counts(
    completion_ids: Sequence[Sequence[int]], masks: Sequence[Sequence[int]] | None, ends: Sequence[int]
) -> list[tuple[int, bool]]:
    """Return how many tokens of each completion are trained on, and whether it ended by itself.

    Args:
        completion_ids: sampled token ids.
        masks: 1 for tokens that are trained on; `None`: all.
        ends: tokens with which a completion ends by itself.
    """
    lengths = [len(ids) for ids in completion_ids] if masks is None else [sum(mask) for mask in masks]
    return [(length, ids[-1] in ends) for length, ids in zip(lengths, completion_ids, strict=True)]


def completion_metrics(counts: Sequence[Sequence[float]]) -> dict[str, float]:
    """Return TRL's `completions/…`, over the completions that are trained on, from their `completion_counts`."""
    completions = [(length, ended) for length, ended in counts if length]
    found = {"completions/clipped_ratio": mean([not ended for _, ended in completions])}
    ended = [length for length, by_itself in completions if by_itself]
    for kind, lengths in (("", [length for length, _ in completions]), ("terminated_", ended)):
        found[f"completions/mean_{kind}length"] = mean(lengths)
        found[f"completions/min_{kind}length"] = float(min(lengths, default=math.nan))
        found[f"completions/max_{kind}length"] = float(max(lengths, default=math.nan))
    return {name: value for name, value in found.items() if not math.isnan(value)}


def mean(values: Sequence[float]) -> float:
    """Return the mean, NaN of nothing."""
    return sum(values) / len(values) if values else math.nan


def _weighed(values: Sequence[float], weights: Sequence[tuple[float, float]], of_masked: float) -> float:
    """Return the mean over what is trained on, from means over `counted` values each, of which `kept` are."""
    parts = [
        (value * counted - of_masked * (counted - kept), kept)
        for value, (counted, kept) in zip(values, weights, strict=True)
    ]
    count = sum(kept for _, kept in parts)
    return sum(total for total, _ in parts) / count if count else math.nan
