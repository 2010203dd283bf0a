"""The division of a rollout's sequences into micro-batches, so that little padding is computed on.

TRL pads all sequences of a rollout to the longest, shuffles them and cuts them into micro-batches of one size. Here
sequences of like length share a micro-batch, each is as wide as its own longest, and all have about as many tokens: few
long sequences or many short ones. Which sequences make an optimizer step stays random.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch

PROMPT_COLUMNS = ("prompt_ids", "prompt_mask")
COMPLETION_COLUMNS = (
    "completion_ids",
    "completion_mask",
    "tool_mask",
    "old_per_token_logps",
    "ref_per_token_logps",
    "sampling_per_token_logps",
    "importance_sampling_ratio",
)
OF_TOKENS_OR_SEQUENCES = ("advantages",)
SUMS_OVER_TOKENS = ("cispo", "dapo", "vespo")
_LENGTH_BLIND = (*SUMS_OVER_TOKENS, "dr_grpo", "grpo", "luspo", "sapo")
MINIMUM_WIDTH = 2
"""TRL takes a tensor of one column for one value per sequence."""


def composition_matters(loss_type: str, *, entropy_bonus: bool, top_entropy_quantile: float, router_loss: bool) -> bool:
    """Return True where a step's gradient depends on which sequences share a micro-batch.

    It does where something is averaged over the tokens of a micro-batch: there TRL's random mix must stay.
    """
    return loss_type not in _LENGTH_BLIND or entropy_bonus or top_entropy_quantile < 1.0 or router_loss


def loss_weight(loss_type: str, share: float) -> float:
    """Return the weight of a micro-batch's loss by TRL, when it holds `share` times the mean number of sequences.

    Most losses are means over the micro-batch's own sequences, as if all micro-batches held equally many; the others
    are sums over tokens, divided by those of the whole step.
    """
    return 1.0 if loss_type in SUMS_OVER_TOKENS else share


def optimizer_steps(lengths: Sequence[int], *, steps: int, seed: str, by_length: bool) -> list[list[int]]:
    """Which sequences, as indices, make each optimizer step.

    Args:
        lengths: tokens of each sequence.
        steps: optimizer steps to make, all of one size.
        seed: seed of the shuffle that decides.
        by_length: whether to sort each step by length, longest first: what does not fit into memory shows at once.
    """
    shuffled = torch.randperm(len(lengths), generator=_generator(seed)).tolist()
    size = len(lengths) // steps
    chosen = [shuffled[start : start + size] for start in range(0, len(shuffled), size)]
    return [sorted(step, key=lambda index: -lengths[index]) for step in chosen] if by_length else chosen


def cut(indices: Sequence[int], sizes: Sequence[int]) -> list[list[int]]:
    """Return the indices in runs of these sizes."""
    ends = list(accumulate(sizes))
    return [list(indices[start:end]) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def select(rollout: Mapping[str, Any], indices: Sequence[int]) -> dict[str, Any]:
    """Some sequences of a scored rollout, no wider than they need; values without a row per sequence stay."""
    rows = torch.tensor(indices, device=rollout["prompt_ids"].device)
    chosen = {
        name: value[rows] if isinstance(value, torch.Tensor) and value.ndim > 0 else value
        for name, value in rollout.items()
    }
    prompt = _width(chosen["prompt_mask"])
    completion = max(_width(chosen["completion_mask"]), MINIMUM_WIDTH)
    for name in PROMPT_COLUMNS:
        chosen[name] = chosen[name][:, chosen[name].size(1) - prompt :]
    for name in COMPLETION_COLUMNS:
        # A sequence-level ratio has one column, which the cut leaves alone.
        if chosen.get(name) is not None:
            chosen[name] = chosen[name][:, :completion]
    for name in OF_TOKENS_OR_SEQUENCES:
        if name in chosen and chosen[name].ndim > 1:
            chosen[name] = chosen[name][:, :completion]
    return chosen


def sequence_lengths(rollout: Mapping[str, torch.Tensor]) -> list[int]:
    """Return the tokens of each sequence, prompt and completion."""
    return (rollout["prompt_mask"].sum(1) + rollout["completion_mask"].sum(1)).tolist()


def trained(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return 1 for each completion token that is trained on, else 0 (sequences, tokens)."""
    return batch["completion_mask"] * batch.get("tool_mask", 1)


def _width(mask: torch.Tensor) -> int:
    return int(mask.sum(1).max())


def _generator(seed: str) -> torch.Generator:
    digest = hashlib.blake2b(seed.encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest))
