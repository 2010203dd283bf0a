"""How the sequences of a rollout are spread over micro-batches, so that little padding is computed on.

TRL pads all sequences of a rollout to the longest and shuffles them. Here sequences of like length share a micro-batch
and each micro-batch is as wide as its own longest; which sequences make an optimizer step stays random.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
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
_LENGTH_BLIND = ("cispo", "dapo", "dr_grpo", "grpo", "luspo", "sapo", "vespo")
MINIMUM_WIDTH = 2
"""TRL takes a tensor of one column for one value per sequence."""


def composition_matters(loss_type: str, *, entropy_bonus: bool, top_entropy_quantile: float) -> bool:
    """Whether a step's gradient depends on which sequences share a micro-batch.

    It does where something is averaged over the tokens of a micro-batch: there TRL's random mix must stay.
    """
    return loss_type not in _LENGTH_BLIND or entropy_bonus or top_entropy_quantile < 1.0


def assignment(
    lengths: Sequence[int], *, batches: int, batches_per_step: int, seed: str, by_length: bool
) -> list[list[int]]:
    """The sequences of each micro-batch, as indices.

    Args:
        lengths: tokens of each sequence.
        batches: micro-batches to make, all of one size.
        batches_per_step: how many of them make an optimizer step.
        seed: seed of the shuffle that decides on the steps.
        by_length: whether to sort each step by length, longest first: what does not fit into memory shows at once.
    """
    shuffled = torch.randperm(len(lengths), generator=_generator(seed)).tolist()
    per_step = len(lengths) // batches * batches_per_step
    steps = [shuffled[start : start + per_step] for start in range(0, len(shuffled), per_step)]
    if by_length:
        steps = [sorted(step, key=lambda index: -lengths[index]) for step in steps]
    ordered = [index for step in steps for index in step]
    size = len(lengths) // batches
    return [ordered[start : start + size] for start in range(0, batches * size, size)]


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
    return chosen


def sequence_lengths(rollout: Mapping[str, torch.Tensor]) -> list[int]:
    """Tokens of each sequence, prompt and completion."""
    return (rollout["prompt_mask"].sum(1) + rollout["completion_mask"].sum(1)).tolist()


def _width(mask: torch.Tensor) -> int:
    return int(mask.sum(1).max())


def _generator(seed: str) -> torch.Generator:
    digest = hashlib.blake2b(seed.encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))
