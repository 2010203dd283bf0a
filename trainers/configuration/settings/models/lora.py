"""Training an adapter instead of all weights."""

from __future__ import annotations

from typing import Literal

from trainers.configuration.settings.key import Number, Settings, key


class LoraSettings(Settings):
    """A LoRA adapter, and a base model in 4 bits beneath it."""

    use_peft: bool = key(False, "Train a LoRA adapter instead of all weights.", speed=True)
    lora_r: int = key(16, "Rank of the adapter's matrices.", ge=1, needs="use_peft")
    lora_alpha: int = key(32, "Scale of the adapter: lora_alpha / lora_r.", ge=1, needs="use_peft")
    lora_dropout: Number = key(0.0, "Dropout before the adapter, in SFT.", ge=0, lt=1, needs="use_peft")
    lora_target_modules: str | list[str] | None = key(
        "all-linear", "Layers with adapters, by name; null takes peft's choice for the model.", needs="use_peft"
    )
    use_rslora: bool = key(False, "Scale the adapter by lora_alpha / sqrt(lora_r).", needs="use_peft")
    load_in_4bit: bool = key(False, "Keep the base model in 4 bits (bitsandbytes); needs use_peft.", needs="use_peft")
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = key("nf4", "Kind of the 4-bit numbers.", needs="load_in_4bit")
    use_bnb_nested_quant: bool = key(False, "Quantise the scales of the 4-bit numbers as well.", needs="load_in_4bit")
