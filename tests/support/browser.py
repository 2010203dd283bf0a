"""Pages as a real browser makes them: headless Chromium, without anything that asks the network of itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --virtual-time-budget=5000 --dump-dom"
)
browser = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true", reason="no Chromium here: apt-get install chromium"
)


def seen(address: str, profile: Path) -> str:
    """Return the document at an address after its scripts have run for five seconds of the browser's own time."""
    assert CHROMIUM is not None, "CI must have Chromium"
    command = [CHROMIUM, *FLAGS.split(), f"--user-data-dir={profile}", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
