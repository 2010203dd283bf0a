"""Advantages of tokens in place of lessons: what a mentor finds a token likelier by than the policy that sampled it.

The gradient of the reverse KL divergence from the policy π to the mentor μ, of one token after what came before it, is
the expectation over tokens of π of (log π - log μ) · ∇ log π. So log μ - log π of the sampled token is its advantage
(on-policy distillation: arXiv:2306.13649, arXiv:2306.08543). TRL's loss takes advantages of tokens as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


def token_advantages(
    sampled: torch.Tensor, mentors: Sequence[Sequence[float] | None], log_ratio_clip: float
) -> torch.Tensor:
    """Return the advantage of each token: the mentor's log-probability less the policy's, clipped.

    Args:
        sampled: log-probabilities of the policy that sampled them (sequences, tokens), padded on the right.
        mentors: log-probabilities of the mentor, as many as the sequence has tokens; `None` for a sequence that is not
            trained on, whose advantages are 0.
        log_ratio_clip: most that an advantage may be, in nats.
    """
    advantages = torch.zeros_like(sampled)
    for row, logprobs in enumerate(mentors):
        if logprobs is not None:
            own = sampled[row, : len(logprobs)]
            advantages[row, : len(logprobs)] = torch.as_tensor(logprobs, dtype=own.dtype, device=own.device) - own
    return advantages.clamp(-log_ratio_clip, log_ratio_clip)
