"""Loading the model to train with exactly what the configuration says about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import AutoModelForCausalLM, PreTrainedModel


def load_model(config: Mapping[str, Any]) -> PreTrainedModel:
    """Load `model_name_or_path` with its revision, dtype and attention implementation.

    The caller has built its `TrainingArguments` before, so that under ZeRO-3 the weights are sharded while they load.
    """
    optional = {"attn_implementation": config["attn_implementation"], "revision": config["model_revision"]}
    return AutoModelForCausalLM.from_pretrained(
        config["model_name_or_path"],
        dtype=config["dtype"],
        trust_remote_code=config["trust_remote_code"],
        **{name: value for name, value in optional.items() if value is not None},
    )
