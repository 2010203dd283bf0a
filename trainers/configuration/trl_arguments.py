"""The arguments of TRL's configuration classes, from the settings of a run."""

from __future__ import annotations

from typing import Any

from trainers.configuration import snapshot
from trainers.configuration.settings.experiments import SFT, TrainingExperiment
from trainers.configuration.settings.keys import names_where


def trl_arguments(config: TrainingExperiment) -> dict[str, Any]:
    """Return the arguments of TRL's `SFTConfig` or `GRPOConfig`: every field that is a key of ours.

    `deepspeed` stays out: there our key names a stage, which reaches the trainer through accelerate's plugin. So does
    `push_to_hub`: transformers would push everything in the output directory, logs and lessons included.
    """
    fields = snapshot.read()["SFTConfig" if config.output.experiment == SFT else "GRPOConfig"]
    names = fields.keys() - {"deepspeed", "push_to_hub"} - names_where(secret=True)
    return {name: value for name, value in sorted(config.flat().items()) if name in names}
