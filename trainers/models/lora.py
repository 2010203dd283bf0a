"""LoRA through peft and TRL: a new adapter from the configuration's keys, or an earlier one that is trained further."""

from __future__ import annotations

import logging

from peft import LoraConfig, PeftConfig, PeftModel
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import PreTrainedModel

from trainers.configuration.checks.lora import merge_command
from trainers.configuration.settings.experiments import TrainingExperiment
from trainers.problems import ConfigurationError, Problem
from trainers.serving.adapter_files import Adapter, read_adapter

logger = logging.getLogger(__name__)

ALL_LINEAR = "all-linear"


def new_adapter(config: TrainingExperiment) -> LoraConfig | None:
    """Return the adapter that TRL puts on the model; `None` without `use_peft`, and where the model brings one."""
    if not config.lora.use_peft or read_adapter(config.model.model_name_or_path) is not None:
        return None
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=config.lora.lora_r,
        lora_alpha=config.lora.lora_alpha,
        lora_dropout=config.lora.lora_dropout,
        target_modules=config.lora.lora_target_modules or ALL_LINEAR,
        use_rslora=config.lora.use_rslora,
        revision=config.model.model_revision,
    )


def continued(base: PreTrainedModel, adapter: Adapter, *, sharded: bool) -> PeftModel:
    """Put a saved adapter, which is trained further, on its base.

    Under ZeRO-3 (`sharded`) the adapter keeps the precision of the base, because DeepSpeed gathers both together.

    Raises:
        ConfigurationError: when the adapter is of a kind whose merged weights we do not compute.
    """
    refuse_unmergeable(adapter, PeftConfig.from_pretrained(adapter.path))
    model = PeftModel.from_pretrained(base, adapter.path, is_trainable=True, autocast_adapter_dtype=not sharded)
    logger.info("training the adapter %s further (rank %d); its own lora_* keys hold", adapter.path, adapter.rank)
    return model


def refuse_unmergeable(adapter: Adapter, saved: PeftConfig) -> None:
    """Refuse what is not plain LoRA on linear layers: servers get W + s·BA, and nothing else.

    Raises:
        ConfigurationError: naming what is not supported, and the way out.
    """
    plain = isinstance(saved, LoraConfig)
    unusual = [] if plain else [f"peft_type {saved.peft_type}"]
    unusual += [
        name
        for name in ("use_dora", "lora_bias", "modules_to_save", "target_parameters", "trainable_token_indices")
        if plain and getattr(saved, name, None)
    ]
    if plain and saved.bias != "none":
        unusual.append(f"bias={saved.bias}")
    if unusual:
        given = f"model_name_or_path={adapter.path}"
        expected = f"expected a LoRA adapter of linear layers, this one has {', '.join(unusual)}"
        raise ConfigurationError([Problem(given, expected, f"merge it: {merge_command(adapter.path)}")])


def align_reference(model: nn.Module) -> None:
    """Give TRL's copy of a continued adapter, against which KL is measured, the precision of the adapter itself.

    TRL makes the copy in float32 always; DeepSpeed's ZeRO-3 gathers small parameters together and needs one precision.
    """
    for layer in model.modules():
        if isinstance(layer, LoraLayer) and "ref" in layer.lora_A:
            for matrices in (layer.lora_A, layer.lora_B):
                matrices["ref"].to(matrices["default"].weight.dtype)
