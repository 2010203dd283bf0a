"""TRL's importance correction from the policy that sampled to the one that is trained, computed inside the policy pass.

TRL runs a forward pass over the whole rollout to learn the policy's log-probabilities before any update. Where training
on a rollout is one optimizer step, these are the ones that the policy pass computes anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Correction:
    """TRL's `vllm_importance_sampling_*` settings; `mode` is `token_` or `sequence_`, then `truncate` or `mask`."""

    mode: str
    clip_min: float | None
    clip_max: float | None


def importance_ratio(
    logprobs: torch.Tensor, sampling_logprobs: torch.Tensor, mask: torch.Tensor, correction: Correction
) -> torch.Tensor:
    """Return the weight of each token's, or sequence's, loss.

    Args:
        logprobs: of the policy before the update (sequences, tokens), in nats.
        sampling_logprobs: of the server that sampled, same shape; NaN where it could not say.
        mask: 1 for tokens that are trained on, same shape.
        correction: TRL's settings.

    Returns:
        Ratios of probabilities, truncated or masked: (sequences, tokens), or (sequences, 1) in the sequence modes.
    """
    difference = torch.nan_to_num((logprobs - sampling_logprobs) * mask, nan=0.0)
    if correction.mode.startswith("sequence_"):
        difference = difference.sum(dim=-1, keepdim=True)
    ratio = torch.exp(difference)
    if correction.mode.endswith("_truncate"):
        return torch.clamp(ratio, min=correction.clip_min, max=correction.clip_max)
    low = -torch.inf if correction.clip_min is None else correction.clip_min
    high = torch.inf if correction.clip_max is None else correction.clip_max
    return ratio.masked_fill((ratio < low) | (ratio > high), 0.0)


def correction_statistics(
    logprobs: torch.Tensor, sampling_logprobs: torch.Tensor, mask: torch.Tensor, ratio: torch.Tensor
) -> torch.Tensor:
    """Of one micro-batch: sum, count and maximum of |Δ log p|, then minimum, sum, count and maximum of the ratios."""
    trained = mask.bool()
    delta = (logprobs - sampling_logprobs).abs()[trained]
    delta = delta[~delta.isnan()]
    ratios = ratio[trained] if ratio.shape == mask.shape else ratio[trained.any(1)].flatten()
    return torch.stack(
        [
            delta.sum(),
            delta.new_tensor(float(delta.numel())),
            delta.max() if delta.numel() else delta.new_tensor(0.0),
            ratios.min() if ratios.numel() else ratios.new_tensor(torch.inf),
            ratios.sum(),
            ratios.new_tensor(float(ratios.numel())),
            ratios.max() if ratios.numel() else ratios.new_tensor(-torch.inf),
        ]
    )


def correction_metrics(statistics: torch.Tensor) -> dict[str, float]:
    """Return the metrics TRL logs, from the statistics of all micro-batches of all ranks (batches, 7)."""
    delta_sum, delta_count, _, _, ratio_sum, ratio_count, _ = statistics.sum(0).tolist()
    if not ratio_count:
        return {}
    return {
        "sampling/sampling_logp_difference/mean": delta_sum / max(delta_count, 1.0),
        "sampling/sampling_logp_difference/max": float(statistics[:, 2].max()),
        "sampling/importance_sampling_ratio/min": float(statistics[:, 3].min()),
        "sampling/importance_sampling_ratio/mean": ratio_sum / ratio_count,
        "sampling/importance_sampling_ratio/max": float(statistics[:, 6].max()),
    }
