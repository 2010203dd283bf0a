"""The chat template and the eos that SFT puts on a tokenizer, by TRL's keys, before it encodes anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainers.configuration.settings.experiments import SFTExperiment
from trainers.problems import ConfigurationError, Problem


def choice_problems(tokenizer: Any, config: SFTExperiment) -> Iterator[Problem]:
    """Yield a problem for a chat template that the tokenizer would never read."""
    template = config.trainer.chat_template_path
    if not template or _reads_templates(tokenizer):
        return
    expected = (
        "expected none: a library writes this tokenizer's conversations, Mistral's own, and would never read the file"
    )
    remedy = "leave it out, or train a model whose tokenizer has a chat template"
    yield Problem(f"chat_template_path={template}", expected, remedy)


def with_choices(tokenizer: Any, config: SFTExperiment) -> Any:
    """Return the tokenizer with the chat template and the eos that a configuration names, if it names any.

    TRL puts them there only when its trainer is made. The final model's tokenizer has them, and with it RL.

    Raises:
        ConfigurationError: when the tokenizer would never read the chat template.
    """
    if problems := list(choice_problems(tokenizer, config)):
        raise ConfigurationError(problems)
    if config.trainer.chat_template_path:
        tokenizer.chat_template = Path(config.trainer.chat_template_path).read_text(encoding="utf-8")
    if config.trainer.eos_token:
        tokenizer.eos_token = config.trainer.eos_token
    return tokenizer


def _reads_templates(tokenizer: Any) -> bool:
    """Return whether a chat template would have any effect: transformers' backend for Mistral's library has none."""
    try:
        tokenizer.get_chat_template()
    except NotImplementedError:
        return False
    except ValueError:
        # It has none yet.
        return True
    return True
