"""Where the files that come with the code lie: beside the packages in a checkout, inside `trainers` in a wheel."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The directory that our packages are imported from: the checkout, or an environment's site-packages."""

_IN_WHEEL = ROOT / "trainers" / "resources"
_RESOURCES = _IN_WHEEL if _IN_WHEEL.is_dir() else ROOT


def resource(*names: str) -> Path:
    """Return the path of a file or directory of `configs/` or `accelerate/`, as in `resource("configs", "run")`."""
    return _RESOURCES.joinpath(*names)


def python_path(environment: Mapping[str, str] = os.environ) -> str:
    """Return the PYTHONPATH with which a process started from any directory imports our packages too."""
    return os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))


def program_path(environment: Mapping[str, str] = os.environ) -> str:
    """Return the PATH with which a process finds the programs of our environment, such as ninja, activated or not."""
    own, others = str(Path(sys.executable).parent), environment.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([own, *(other for other in others if other != own)])
