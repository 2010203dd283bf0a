"""Sequences of different lengths side by side: from TRL's two paddings to one, and back.

TRL pads prompts on the left and completions on the right, so that a batch is as wide as its longest prompt and its
longest completion together. Aligned on the right it is as wide as its longest sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Aligned:
    """Sequences that all end in the last column.

    Shapes: `ids` and `mask` (sequences, width). The last `completion_width` columns hold every completion, of
    `completion_lengths` tokens (sequences,).
    """

    ids: torch.Tensor
    mask: torch.Tensor
    completion_width: int
    completion_lengths: torch.Tensor


def aligned(ids: torch.Tensor, mask: torch.Tensor, completion_columns: int) -> Aligned:
    """Move each sequence to the right edge and drop the columns that only hold padding.

    Args:
        ids: token ids (sequences, width); the last `completion_columns` columns are completions, padded on the right.
        mask: 1 for tokens, 0 for padding, same shape; ones are contiguous in every row.
        completion_columns: width of the completions.
    """
    width = ids.size(1)
    lengths = mask.sum(1)
    completion_lengths = mask[:, width - completion_columns :].sum(1)
    source = torch.arange(width, device=ids.device)[None] - (completion_columns - completion_lengths)[:, None]
    source %= width
    kept = max(int(lengths.max()), 1)
    moved_ids, moved_mask = (tensor.gather(1, source)[:, width - kept :] for tensor in (ids, mask))
    completion_width = min(max(int(completion_lengths.max()), 1), kept)
    return Aligned(moved_ids, moved_mask, completion_width, completion_lengths)


def in_columns(values: torch.Tensor, lengths: torch.Tensor, completion_columns: int) -> torch.Tensor:
    """Put values of aligned completions (sequences, completion_width) back in TRL's columns, padded with zero.

    Args:
        values: one per column of the aligned completions.
        lengths: tokens of each completion (sequences,).
        completion_columns: columns of the result.
    """
    width = values.size(1)
    column = torch.arange(completion_columns, device=values.device)[None]
    source = column + (width - lengths)[:, None]
    return values.gather(1, source.clamp(max=width - 1)).masked_fill(column >= lengths[:, None], 0.0)
