"""Loading the model to train, and its tokenizer, with exactly what the configuration says about them."""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.integrations import is_deepspeed_zero3_enabled

from trainers.configuration.settings.experiments import SFTExperiment, TrainingExperiment
from trainers.hub_ids import resolved
from trainers.models.chosen_tokens import with_choices
from trainers.models.lora import continued
from trainers.problems import ConfigurationError, Problem
from trainers.serving.adapter_files import read_adapter


def load_model(config: TrainingExperiment) -> PreTrainedModel | PeftModel:
    """Load `model_name_or_path` with its revision, dtype, attention implementation and quantisation.

    A LoRA adapter is loaded on its base, and is trained further. The caller has built its `TrainingArguments` before,
    so that under ZeRO-3 the weights are sharded while they load.

    Raises:
        ConfigurationError: for an adapter that is not plain LoRA, or that was not downloaded.
    """
    name = config.model.model_name_or_path
    adapter = read_adapter(name)
    base = AutoModelForCausalLM.from_pretrained(
        # In full, because an adapter remembers its base by this name.
        resolved(adapter.base if adapter else name),
        **loading_arguments(config, adapter.revision if adapter else None),
    )
    if getattr(base, "_hf_peft_config_loaded", False):
        # transformers has found an adapter by itself, which it would train, save and serve in its own way.
        raise ConfigurationError([_adapter_on_the_hub(name)])
    return continued(base, adapter, sharded=is_deepspeed_zero3_enabled()) if adapter else base


def _adapter_on_the_hub(name: str) -> Problem:
    directory = f"results/{name.rpartition('/')[2]}"
    remedy = f"hf download {name} --local-dir {directory}, then model_name_or_path={directory} use_peft=true"
    return Problem(f"model_name_or_path={name}", "is a LoRA adapter on the hub, expected one in a directory", remedy)


def load_tokenizer(config: TrainingExperiment) -> Tokenizer:
    """Load the tokenizer of `model_name_or_path`; an adapter without one has that of its base."""
    name = config.model.model_name_or_path
    adapter = read_adapter(name)
    tokenizer = AutoTokenizer.from_pretrained(
        adapter.tokenizer if adapter else name,
        revision=(adapter and adapter.revision) or config.model.model_revision,
        trust_remote_code=config.model.trust_remote_code,
    )
    return with_choices(tokenizer, config) if isinstance(config, SFTExperiment) else tokenizer


def loading_arguments(config: TrainingExperiment, revision: str | None = None) -> dict[str, Any]:
    """Return the arguments of `from_pretrained` besides the name; `revision` wins over the configuration's."""
    optional = {
        "attn_implementation": config.model.attn_implementation,
        "revision": revision or config.model.model_revision,
        "quantization_config": quantisation(config),
    }
    given = {name: value for name, value in optional.items() if value is not None}
    return {"dtype": config.model.dtype, "trust_remote_code": config.model.trust_remote_code} | given


def quantisation(config: TrainingExperiment) -> BitsAndBytesConfig | None:
    """Return bitsandbytes' settings for `load_in_4bit`, computing in the precision of `dtype`; `None` without it."""
    if not config.lora.load_in_4bit:
        return None
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_compute_dtype=getattr(torch, config.model.dtype),
        bnb_4bit_quant_type=config.lora.bnb_4bit_quant_type,
        bnb_4bit_use_double_quant=config.lora.use_bnb_nested_quant,
    )


def reference_arguments(config: TrainingExperiment) -> dict[str, Any]:
    """Return TRL's arguments for loading the reference in the policy's revision; the rest it takes from the policy."""
    revision = config.model.model_revision
    return {} if revision is None else {"model_init_kwargs": {"revision": revision}}
