"""Which questions are the same, and keeping the held-out ones out of the training part."""

from __future__ import annotations

import hashlib
import unicodedata

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def normalise(text: str) -> str:
    """Fold case, collapse white space and compose characters (NFC), so that texts differing only in these are equal.

    Punctuation stays: `2+2` and `2-2` are different questions, and so are `x²` and `x2`.
    """
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def text_key(text: str) -> int:
    """Return 64 bits of a hash of the normalised text: two of a million texts meet with probability 3e-8."""
    digest = hashlib.blake2b(normalise(text).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "little", signed=True)


def first_of_each(keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return true where a key stands for the first time."""
    first = np.zeros(len(keys), dtype=bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return first


def split(keys: NDArray[np.int64], ratio: float, seed: int) -> NDArray[np.bool_]:
    """Return true for the rows to hold out: all rows of a seeded choice of questions, at least one question.

    Rows of one question are never parted, so that nothing held out can be learned in training.

    Args:
        keys: the question key of each row.
        ratio: share of the rows to hold out.
        seed: of the choice.
    """
    unique, counts = np.unique(keys, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(unique))
    before = np.cumsum(counts[order]) - counts[order]
    wanted = max(1, round(ratio * len(keys)))
    return np.isin(keys, unique[order[before < wanted]])
