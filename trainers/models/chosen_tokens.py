"""The chat template and the eos that SFT puts on a tokenizer, by TRL's keys, before it encodes anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainers.configuration.settings.experiments import SFTExperiment


def with_choices(tokenizer: Any, config: SFTExperiment) -> Any:
    """Return the tokenizer with the chat template and the eos that a configuration names, if it names any.

    TRL puts them there only when its trainer is made. The final model's tokenizer has them, and with it RL.
    """
    if config.trainer.chat_template_path:
        tokenizer.chat_template = Path(config.trainer.chat_template_path).read_text(encoding="utf-8")
    if config.trainer.eos_token:
        tokenizer.eos_token = config.trainer.eos_token
    return tokenizer
