"""Tiny random models of many families, as transformers saves them; each takes milliseconds to make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerBase

VOCABULARY = 416
PADDED_TO = 64
_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_FOUR_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
_FOUR_LOCAL_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_FOUR_ROUTED_EXPERTS = {
    **{"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "n_shared_experts": 1},
    **{"n_group": 1, "topk_group": 1, "first_k_dense_replace": 1},
}
_SLIDING = {"sliding_window": 64}
_UNTIED = {"tie_word_embeddings": False}
_OLD_NAMES = {"num_key_value_heads": None, "head_dim": None}

FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "Qwen3": {"model_type": "qwen3", **_UNTIED},
    "Qwen3-MoE": {"model_type": "qwen3_moe", "decoder_sparse_step": 1, **_UNTIED, **_FOUR_EXPERTS},
    "Qwen2": {"model_type": "qwen2", "tie_word_embeddings": True},
    "Qwen2-MoE": {"model_type": "qwen2_moe", "shared_expert_intermediate_size": 64, **_UNTIED, **_FOUR_EXPERTS},
    "Llama, tied": {"model_type": "llama", "tie_word_embeddings": True},
    "Llama, untied": {"model_type": "llama", **_UNTIED},
    "Mistral": {"model_type": "mistral", **_SLIDING},
    "Mixtral": {"model_type": "mixtral", **_FOUR_LOCAL_EXPERTS},
    "Gemma 2": {"model_type": "gemma2", "query_pre_attn_scalar": 32, **_SLIDING},
    "Gemma 3": {"model_type": "gemma3_text", "query_pre_attn_scalar": 32, **_SLIDING},
    "Phi-3": {"model_type": "phi3", **_UNTIED},
    "OLMo-2": {"model_type": "olmo2", **_UNTIED},
    "OLMoE": {"model_type": "olmoe", **_UNTIED, "num_experts": 4, "num_experts_per_tok": 2},
    "GPT-2": {"model_type": "gpt2", "n_positions": 512, "n_embd": 64, "n_layer": 2, "n_head": 2},
    "GPT-NeoX": {"model_type": "gpt_neox", **_OLD_NAMES},
    "GPT-OSS": {
        "model_type": "gpt_oss",
        "layer_types": ["sliding_attention", "full_attention"],
        **_FOUR_LOCAL_EXPERTS,
        **_SLIDING,
    },
    "GLM-4": {"model_type": "glm4"},
    "GLM-4.5": {"model_type": "glm4_moe", **_FOUR_ROUTED_EXPERTS},
    "Granite": {"model_type": "granite"},
    "Granite-MoE": {"model_type": "granitemoe", **_FOUR_LOCAL_EXPERTS},
    "Cohere 2": {"model_type": "cohere2", **_SLIDING},
    "EXAONE 4": {"model_type": "exaone4", **_SLIDING},
    "SmolLM3": {"model_type": "smollm3"},
    "StableLM": {"model_type": "stablelm", "num_key_value_heads": 2},
    "StarCoder2": {"model_type": "starcoder2"},
}


def write_family(name: str, directory: Path, tokenizer: PreTrainedTokenizerBase | None = None) -> Path:
    """Write a model of a family, whose every tensor matters, and return its directory.

    With a tokenizer it is written beside the model, whose vocabulary is larger by a padding as published ones have it.
    """
    torch.manual_seed(0)
    chosen = dict(FAMILIES[name])
    if tokenizer is not None:
        tokenizer.save_pretrained(directory)
        chosen |= {"vocab_size": padded(len(tokenizer)), "bos_token_id": tokenizer.bos_token_id}
        chosen |= {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.eos_token_id}
    own = {"gpt2": {key: _COMMON[key] for key in ("vocab_size", "bos_token_id", "eos_token_id")}}
    settings = own.get(chosen["model_type"], _COMMON) | chosen
    config = AutoConfig.for_model(**{key: value for key, value in settings.items() if value is not None})
    config.dtype = "float32"
    model = AutoModelForCausalLM.from_config(config).float()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                # Norms start at one and biases at zero, where a lost one would not be noticed.
                tensor.add_(torch.randn_like(tensor), alpha=0.05)
                if tensor.ndim > 1:
                    tensor.normal_(0, 0.1)
    model.save_pretrained(directory)
    return directory


def padded(tokens: int) -> int:
    """Return a multiple of 64 that leaves ids which no token has."""
    return (tokens // PADDED_TO + 1) * PADDED_TO
