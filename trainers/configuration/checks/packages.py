"""Check that packages needed by only some values are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from trainers.configuration.settings.experiments import TrainingExperiment
from trainers.problems import Problem

REPORTERS = {name: (name,) for name in ("wandb", "mlflow", "trackio", "swanlab", "comet_ml", "clearml", "dvclive")} | {
    "tensorboard": ("tensorboard", "tensorboardX")
}
"""The packages that reporting needs, any one of them."""


def check_packages(config: TrainingExperiment) -> Iterator[Problem]:
    """Yield a problem for each value whose packages are not installed; of several, any one will do."""
    for given, packages, instead in _needed(config):
        if not any(importlib.util.find_spec(name) for name in packages):
            remedy = f"pip install {packages[0].replace('_', '-')}{instead}"
            yield Problem(given, f"the package {' or '.join(packages)} is not installed", remedy)


def _needed(config: TrainingExperiment) -> Iterator[tuple[str, tuple[str, ...], str]]:
    if config.lora.load_in_4bit:
        yield "load_in_4bit=true", ("bitsandbytes",), ""
    if any(mark in config.trainer.optim for mark in ("8bit", "paged", "bnb")):
        yield f"optim={config.trainer.optim}", ("bitsandbytes",), ", or write optim=adamw_torch"
    if config.trainer.use_liger_kernel:
        yield "use_liger_kernel=true", ("liger_kernel",), ", or leave it out"
    if config.model.attn_implementation == "flash_attention_2":
        packages = ("flash_attn", "kernels")
        yield "attn_implementation=flash_attention_2", packages, ", or write attn_implementation=sdpa"
    asked = config.output.report_to or ()
    for name in (asked,) if isinstance(asked, str) else asked:
        if name in REPORTERS:
            yield f"report_to={name}", REPORTERS[name], ", or report to another"
