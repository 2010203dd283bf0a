"""The arguments of TRL's `SFTConfig` that only SFT has, or has another default for."""

from __future__ import annotations

from typing import Any, Literal

from trainers.configuration.settings.key import Number, trl_key
from trainers.configuration.settings.runs.trainer import TrainerSettings

_ENCODED = "rows are encoded before TRL sees them; column_map names their columns"
_NEVER_CUT = "rows that are too long are refused or left out (overlong_prompts), never cut"


class SFTTrainerSettings(TrainerSettings):
    """Arguments of `trl.SFTConfig`, by their own names."""

    learning_rate: Number = trl_key(2e-05, ge=0)
    remove_unused_columns: bool = trl_key(True)
    chat_template_path: str | None = trl_key(None)
    dataset_text_field: str = trl_key("text", fixed=_ENCODED)
    dataset_kwargs: dict[Any, Any] | str | None = trl_key(None)
    dataset_num_proc: int | None = trl_key(None, ge=1)
    eos_token: str | None = trl_key(None)
    max_length: int | None = trl_key(1024, ge=1, speed=True, fits_prompts=True)
    truncation_mode: Literal["keep_end", "keep_start"] = trl_key("keep_start", fixed=_NEVER_CUT)
    shuffle_dataset: bool = trl_key(False)
    packing: bool = trl_key(False)
    packing_strategy: Literal["bfd", "bfd_split", "wrapped"] = trl_key("bfd")
    padding_free: bool = trl_key(False)
    eval_packing: bool | None = trl_key(None)
    completion_only_loss: bool | None = trl_key(None)
    assistant_only_loss: bool = trl_key(False)
    loss_type: Literal["nll", "dft", "chunked_nll"] = trl_key("nll")
    activation_offloading: bool = trl_key(False)
    pad_token: str | None = trl_key(None)
