"""A tiny model that ends every turn with `<|im_end|>`, while its tokenizer's eos is `<|endoftext|>`."""

from __future__ import annotations

from math import exp
from pathlib import Path

import torch

from tests.support.tiny import build_model, build_tokenizer

ADVANTAGE = 4.0
"""By so many nats the end is likelier than any other token."""
NEVER = -30.0


def write_ending_model(directory: Path) -> Path:
    """Write model and tokenizer to `directory` and return it.

    All tokens have one embedding, so that the last hidden state h is the same after every prompt, and the output layer
    is 0 but for two rows along h: whatever is asked, the end of turn has one and the same probability, eos none.
    """
    tokenizer = build_tokenizer()
    tokenizer.eos_token = "<|endoftext|>"
    model = build_model(tokenizer, tied=False, seed=0)
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    with torch.no_grad():
        embedding = model.model.embed_tokens.weight
        embedding.copy_(embedding[-1].clone().expand_as(embedding))
        hidden = model.model(torch.tensor([[5, 6, 7]])).last_hidden_state[0, -1]
        direction = hidden / hidden.square().sum()
        model.lm_head.weight.zero_()
        model.lm_head.weight[tokenizer.convert_tokens_to_ids("<|im_end|>")] = ADVANTAGE * direction
        model.lm_head.weight[tokenizer.eos_token_id] = NEVER * direction
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def end_probability(vocabulary: int) -> float:
    """Return the probability of the end of the turn at each token, for a model with a vocabulary of this size."""
    return exp(ADVANTAGE) / (exp(ADVANTAGE) + vocabulary - 2)
