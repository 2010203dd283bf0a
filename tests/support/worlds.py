"""A tiny world for a whole test session: real files, a student that has hardly been prepared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PREPARATION_STEPS = 2


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `world/` in it, as the quickstart's first command makes it."""
    directory = tmp_path_factory.mktemp("workspace")
    command = [sys.executable, "-m", "custom_data.world", "--output", str(directory / "world")]
    subprocess.run([*command, "--preparation-steps", str(PREPARATION_STEPS)], check=True, timeout=300)
    return directory
