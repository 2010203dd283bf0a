"""Check that packages needed by only some values are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from trainers.configuration.settings.experiments import PromptSearchExperiment, TrainingExperiment
from trainers.problems import Problem

REPORTERS: dict[str, tuple[str, ...]] = {
    "none": (),
    "all": (),
    **{name: (name,) for name in ("wandb", "mlflow", "trackio", "swanlab", "comet_ml", "clearml", "dvclive")},
    "tensorboard": ("tensorboard", "tensorboardX"),
    **dict.fromkeys(("neptune", "azure_ml", "codecarbon", "dagshub", "flyte", "kubeflow"), ()),
}
"""Values of `report_to`, with the packages that it needs, any one of them, where we know them."""


def check_packages(config: TrainingExperiment) -> Iterator[Problem]:
    """Yield a problem for each value whose packages are not installed; of several, any one will do."""
    for given, packages, instead in _needed(config):
        if not any(importlib.util.find_spec(name) for name in packages):
            remedy = f"pip install {packages[0].replace('_', '-')}{instead}"
            yield Problem(given, f"the package {' or '.join(packages)} is not installed", remedy)


def check_search_packages(config: PromptSearchExperiment) -> Iterator[Problem]:
    """Yield a problem where the package that searches for prompts is not installed."""
    if not importlib.util.find_spec("gepa"):
        given = f"experiment={config.output.experiment}"
        yield Problem(given, "the package gepa, which searches, is not installed", "pip install gepa==0.1.4")


def _needed(config: TrainingExperiment) -> Iterator[tuple[str, tuple[str, ...], str]]:
    if config.lora.load_in_4bit:
        yield "load_in_4bit=true", ("bitsandbytes",), ""
    if any(mark in config.trainer.optim for mark in ("8bit", "paged", "bnb")):
        yield f"optim={config.trainer.optim}", ("bitsandbytes",), ", or write optim=adamw_torch"
    if config.trainer.use_liger_kernel:
        yield "use_liger_kernel=true", ("liger_kernel",), ", or leave it out"
    if config.model.attn_implementation == "flash_attention_2":
        instead = ", or write attn_implementation=sdpa"
        yield "attn_implementation=flash_attention_2", ("flash_attn", "kernels"), instead
    asked = config.output.report_to or ()
    for name in (asked,) if isinstance(asked, str) else asked:
        if packages := REPORTERS.get(name, ()):
            yield f"report_to={name}", packages, ", or report to another"
