"""Keys and logins that a run will need, asked for before it costs anything."""

from __future__ import annotations

import netrc
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from trainers.configuration import ConfigurationError, Problem
from trainers.configuration.checks.api_keys import missing_keys
from trainers.configuration.settings.experiments import Experiment, StudentExperiment, TrainingExperiment
from trainers.configuration.settings.in_words import written
from trainers.configuration.settings.runs.trainer import TrainerSettings
from trainers.launch.reporting import reports_to_wandb
from trainers.serving.run_token import run_token

WANDB_HOST = "https://api.wandb.ai"
WITHOUT_WANDB = ("offline", "disabled", "dryrun")


def missing_credentials(config: Experiment) -> Iterator[Problem]:
    """Yield a problem for each key that is not in the environment, nor where its tool keeps it."""
    if isinstance(config, StudentExperiment):
        yield from missing_keys(config)
        yield from _run_token()
    if isinstance(config, TrainingExperiment):
        yield from _hub(config.trainer)
    yield from _wandb(config)


def _run_token() -> Iterator[Problem]:
    try:
        run_token()
    except ConfigurationError as error:
        yield from error.problems


def _hub(trainer: TrainerSettings) -> Iterator[Problem]:
    if trainer.push_to_hub and not has_hub_token():
        remedy = "export HF_TOKEN=… (a token that may write), or run: hf auth login"
        yield Problem("push_to_hub=true", "the hub takes models only from who is logged in", remedy)


def has_hub_token() -> bool:
    """Return whether a token for the hub is in the environment, or kept by `hf auth login`."""
    from huggingface_hub import get_token

    return get_token() is not None


def _wandb(config: Experiment) -> Iterator[Problem]:
    if not reports_to_wandb(config) or wandb_works():
        return
    remedy = "export WANDB_API_KEY=…, or run wandb login; or export WANDB_MODE=offline; or report_to=none"
    yield Problem(f"report_to={written(config.output.report_to)}", "nobody is logged in to W&B on this machine", remedy)


def wandb_works() -> bool:
    """Return whether W&B can start without asking: a key in the environment or in ~/.netrc, or no need of one."""
    if os.environ.get("WANDB_MODE") in WITHOUT_WANDB or os.environ.get("WANDB_DISABLED", "").lower() == "true":
        return True
    return (
        bool(os.environ.get("WANDB_API_KEY")) or _in_netrc(os.environ.get("WANDB_BASE_URL", WANDB_HOST)) or _offline()
    )


def _in_netrc(address: str) -> bool:
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        return netrc.netrc(path).authenticators(urlsplit(address).hostname or address) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _offline() -> bool:
    """Return whether `wandb offline` or `wandb disabled` was run in this directory."""
    settings = Path("wandb") / "settings"
    lines = settings.read_text(encoding="utf-8").splitlines() if settings.is_file() else []
    return any(line.replace(" ", "") in ("mode=offline", "mode=disabled", "disabled=true") for line in lines)
