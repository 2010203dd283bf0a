"""Checks that an adapter is trained as one, and that packages needed by only some values are installed."""

from __future__ import annotations

from collections.abc import Iterator

from trainers.configuration.settings.experiments import TrainingExperiment
from trainers.problems import Problem
from trainers.serving.adapter_files import read_adapter


def merge_command(path: str) -> str:
    """Return the command that makes a whole model of an adapter."""
    return f"python -m trainers.models.merge_adapter {path} {path.rstrip('/')}_merged"


def check_adapters(config: TrainingExperiment) -> Iterator[Problem]:
    """Yield a problem for a trained model that is an adapter while `use_peft` is off."""
    trained = config.model.model_name_or_path
    adapter = read_adapter(trained) if trained else None
    if adapter is not None and not config.lora.use_peft:
        expected = f"holds a LoRA adapter of {adapter.base}, which only use_peft can train further"
        remedy = (
            f"add use_peft=true; to train all weights instead, make it a whole model: {merge_command(adapter.path)}"
        )
        yield Problem(f"model_name_or_path={trained}", expected, remedy)
