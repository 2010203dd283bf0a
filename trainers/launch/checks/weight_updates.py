"""Checks that a teacher's servers can take the weights that its trainer sends, by architecture and quantisation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trainers.configuration import Problem
from trainers.launch.checks.model_uses import ModelUse

TRIED = frozenset(
    (
        *("Cohere2ForCausalLM", "Exaone4ForCausalLM", "GPT2LMHeadModel", "GPTNeoXForCausalLM", "Gemma2ForCausalLM"),
        *("Gemma3ForCausalLM", "Glm4ForCausalLM", "Glm4MoeForCausalLM", "GptOssForCausalLM", "GraniteForCausalLM"),
        *("GraniteMoeForCausalLM", "LlamaForCausalLM", "MistralForCausalLM"),
        *("MixtralForCausalLM", "Olmo2ForCausalLM", "OlmoeForCausalLM", "Phi3ForCausalLM"),
        *("Qwen2ForCausalLM", "Qwen2MoeForCausalLM", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM"),
        *("SmolLM3ForCausalLM", "StableLmForCausalLM", "Starcoder2ForCausalLM"),
    )
)
"""Architectures whose servers were found to compute with the weights they are sent, full and LoRA."""


def update_problems(use: ModelUse, described: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what makes it impossible to update the servers of a model.

    Args:
        use: the model in its role.
        described: the model's own configuration, as in its `config.json`.
    """
    if not use.updated:
        return
    quantisation = described.get("quantization_config")
    if quantisation:
        method = quantisation.get("quant_method", "quantised") if isinstance(quantisation, Mapping) else "quantised"
        yield Problem(
            f"{use.key}={use.model}",
            f"its weights are quantised ({method}): its servers would keep them so, and could not take what is trained",
            "train a copy in bfloat16; to save memory in the trainer set use_peft=true load_in_4bit=true",
        )


def update_warnings(use: ModelUse, described: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is not known of updating the servers of a model."""
    unknown = [name for name in described.get("architectures") or () if name not in TRIED]
    if use.updated and unknown:
        yield (
            f"{use.key}={use.model}: weight updates of {', '.join(unknown)} have not been tried. The first ones are "
            "verified by log-probabilities: the run ends there, should the servers not compute with what they are sent"
        )
