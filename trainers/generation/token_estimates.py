"""Estimates of how many tokens a text has, where no tokenizer is at hand."""

from __future__ import annotations

_BYTES_PER_TOKEN = 4


def estimated_tokens(text: str) -> int:
    """Estimate the tokens that `text` has for common tokenizers: one for four bytes of UTF-8."""
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)
