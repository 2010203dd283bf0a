"""To whom a run reports."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any


def reports_to_wandb(config: Mapping[str, Any]) -> bool:
    """Return whether a run reports to W&B: by name, or as one of all that are installed."""
    asked = config["report_to"] or ()
    chosen = (asked,) if isinstance(asked, str) else tuple(asked)
    return "wandb" in chosen or (chosen == ("all",) and importlib.util.find_spec("wandb") is not None)
