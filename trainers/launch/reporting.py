"""To whom a run reports."""

from __future__ import annotations

import importlib.util

from trainers.configuration.settings.experiments import Experiment


def reports_to_wandb(config: Experiment) -> bool:
    """Return whether a run reports to W&B: by name, or as one of all that are installed."""
    asked = config.output.report_to or ()
    chosen = (asked,) if isinstance(asked, str) else tuple(asked)
    return "wandb" in chosen or (chosen == ("all",) and importlib.util.find_spec("wandb") is not None)
