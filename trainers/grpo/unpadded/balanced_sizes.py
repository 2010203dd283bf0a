"""Sizes of micro-batches, each as wide as its longest sequence: few long sequences, or many short ones.

Memory wants the micro-batch with most tokens, padding included, to be small; time wants little padding in all together.
Neither wants micro-batches of one size, of which the first, with the longest sequences, is by far the largest.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from itertools import accumulate, pairwise
from math import ceil

SLACK = 1.25
"""Growth of the largest micro-batch over the smallest possible one that is allowed where it saves padding."""


def balanced_sizes(lengths: Sequence[int], batches: int) -> list[int]:
    """Return the sizes of so many micro-batches: little padding, and the largest not much larger than it has to be.

    `lengths` are tokens of each sequence, longest first, at least as many as `batches`.
    """
    low, high = lengths[0], lengths[0] * len(lengths)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(_filled(lengths, middle)) <= batches else (middle + 1, high)
    bounds = [0, *accumulate(_split(lengths, _filled(lengths, low), batches))]
    # Micro-batches of one size never hold more: that is what memory was planned for.
    capacity = min(int(low * SLACK), lengths[0] * ceil(len(lengths) / batches))
    while _moved(lengths, bounds, capacity):
        pass
    return [end - start for start, end in pairwise(bounds)]


def _filled(lengths: Sequence[int], capacity: int) -> list[int]:
    """Return the sizes when each micro-batch takes what it can hold."""
    sizes, width = [0], lengths[0]
    for length in lengths:
        if width * (sizes[-1] + 1) > capacity:
            sizes.append(0)
            width = length
        sizes[-1] += 1
    return sizes


def _split(lengths: Sequence[int], sizes: Sequence[int], batches: int) -> list[int]:
    """Micro-batches split, where most padding is saved, until there are as many as wanted."""
    starts = [0, *accumulate(sizes)][:-1]
    splits = [_best_split(lengths, start, size) for start, size in zip(starts, sizes, strict=True)]
    heapify(splits)
    while len(splits) < batches:
        _, size, start, kept = heappop(splits)
        heappush(splits, _best_split(lengths, start, kept))
        heappush(splits, _best_split(lengths, start + kept, -size - kept))
    return [-size for _, size, _, _ in sorted(splits, key=lambda split: split[2])]


def _best_split(lengths: Sequence[int], start: int, size: int) -> tuple[int, int, int, int]:
    """Padding saved by the best split of a micro-batch (negative), its size (negative), its start, what is kept.

    Of equal lengths none is saved: then the largest micro-batch comes first, and its halves are best.
    """
    if size == 1:
        return 1, -1, start, 0
    kept = max(
        range(1, size),
        key=lambda at: ((lengths[start] - lengths[start + at]) * (size - at), -abs(size - 2 * at)),
    )
    return (lengths[start + kept] - lengths[start]) * (size - kept), -size, start, kept


def _moved(lengths: Sequence[int], bounds: list[int], capacity: int) -> bool:
    """Move each bound between two micro-batches to where they hold least padding; whether that changed any."""
    changed = False
    for at in range(1, len(bounds) - 1):
        start, bound, end = bounds[at - 1 : at + 2]

        def tokens(middle: int, start: int = start, end: int = end) -> tuple[int, int]:
            return lengths[start] * (middle - start), lengths[middle] * (end - middle)

        # The bound itself is one of them.
        fitting = [middle for middle in range(start + 1, end) if max(tokens(middle)) <= capacity]
        best = min(fitting, key=lambda middle: sum(tokens(middle)))
        if sum(tokens(best)) < sum(tokens(bound)):
            bounds[at] = best
            changed = True
    return changed
