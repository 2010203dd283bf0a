"""The model that is trained, and how models are loaded."""

from __future__ import annotations

from typing import Literal

from trainers.configuration.settings.key import Settings, key


class LoadingSettings(Settings):
    """The way that models are loaded in this process."""

    dtype: Literal["auto", "bfloat16", "float16", "float32"] = key("bfloat16", "Precision of the trained model.")
    attn_implementation: str = key("sdpa", "Attention implementation of the trained model.")
    model_revision: str | None = key(None, "Branch, tag or commit of the trained model on the hub.")
    trust_remote_code: bool = key(False, "Run model code that comes with a checkpoint.")


class ModelSettings(LoadingSettings):
    """The model that is trained."""

    model_name_or_path: str = key(
        None, "The model to train: hub id or directory.", speed=True, required=True, in_card=False
    )
