"""Whether this machine and its files can do what the keys of adapters and quantisation ask for."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any

from trainers.configuration.problems import Problem
from trainers.serving.adapters import read_adapter


def merge_command(path: str) -> str:
    """The command that makes a whole model of an adapter."""
    return f"python -m trainers.models.merge_adapter {path} {path.rstrip('/')}_merged"


def check_adapters(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Whether a trained model that is an adapter is to be trained as one."""
    trained = config.get("model_name_or_path")
    adapter = read_adapter(trained) if trained else None
    if adapter is not None and not config["use_peft"]:
        expected = f"holds a LoRA adapter of {adapter.base}, which only use_peft can train further"
        remedy = (
            f"add use_peft=true; to train all weights instead, make it a whole model: {merge_command(adapter.path)}"
        )
        yield Problem(f"model_name_or_path={trained}", expected, remedy)


def check_packages(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Whether bitsandbytes is there when `load_in_4bit` needs it."""
    if not config.get("load_in_4bit"):
        return
    if importlib.util.find_spec("bitsandbytes") is None:
        yield Problem("load_in_4bit=true", "the package bitsandbytes is not installed", "pip install bitsandbytes")
