"""Changes that sampling keys make to next-token scores, in vLLM's order.

The repetition penalty comes before the temperature, which is left to callers; min_p, top_k and top_p come after it.
"""

from __future__ import annotations

import torch
from transformers import LogitsProcessorList, MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from trainers.generation.types import Sampling


def first_places(ids: torch.Tensor, mask: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """Return the column in which each token of the vocabulary first stands in each sequence.

    Args:
        ids: token ids (sequences, width).
        mask: 1 for tokens, 0 for padding, same shape.
        vocabulary: number of tokens there are.

    Returns:
        Columns (sequences, vocabulary); `width` for tokens that do not occur.
    """
    width = ids.size(1)
    columns = torch.arange(width, device=ids.device).masked_fill(mask == 0, width)
    nowhere = torch.full((ids.size(0), vocabulary), width, device=ids.device)
    return nowhere.scatter_reduce(1, ids, columns.expand_as(ids), "amin")


def penalised(scores: torch.Tensor, seen: torch.Tensor, penalty: float) -> torch.Tensor:
    """Return scores with the repetition penalty (Keskar et al., CTRL, 2019) on tokens of prompt and completion so far.

    Args:
        scores: logits before the temperature (rows, vocabulary).
        seen: whether a token stands in the row's prompt or completion so far, same shape.
        penalty: above 1 makes repetition less likely, below 1 more likely.
    """
    return torch.where(seen, torch.where(scores > 0, scores / penalty, scores * penalty), scores)


def truncations(sampling: Sampling) -> LogitsProcessorList:
    """Return what sets the scores of dropped tokens to -inf; scores are after the temperature (rows, vocabulary)."""
    chosen = LogitsProcessorList()
    if sampling.min_p > 0:
        chosen.append(MinPLogitsWarper(sampling.min_p))
    if sampling.top_k > 0:
        chosen.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        chosen.append(TopPLogitsWarper(sampling.top_p))
    return chosen
