"""The one rule of the configuration: a component receives the top-level keys that are named like its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from trainers.configuration import snapshot
from trainers.configuration.fields import TRL_CLASS, fields_of


def pick(component: Callable[..., Any], config: Mapping[str, Any], **fixed: Any) -> dict[str, Any]:
    """Keyword arguments for `component`: the keys named like its parameters, and `fixed`, which wins."""
    names = inspect.signature(component).parameters
    return {key: value for key, value in config.items() if key in names} | fixed


def trl_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of TRL's `SFTConfig` or `GRPOConfig`, by `config["experiment"]`: every field we do not replace.

    `deepspeed` stays out: there our key names a stage, which reaches the trainer through accelerate's plugin. So does
    `push_to_hub`: transformers would push everything in the output directory, logs and lessons included.
    """
    experiment = config["experiment"]
    names = snapshot.read()[TRL_CLASS[experiment]].keys() & fields_of(experiment).keys() - {"deepspeed", "push_to_hub"}
    return {name: config[name] for name in sorted(names) if name in config}
