"""Checks that pass, fail, break and hang."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from scripts.gpu_check.context import CheckFailed, Context


def passes(context: Context) -> None:
    """Find something, and end."""
    context.found(answer=42)


def fails(context: Context) -> None:
    """Find something wrong after something right."""
    context.found(first=1)
    raise CheckFailed("the second\nwas wrong")


def breaks(context: Context) -> None:
    """Have a mistake of its own."""
    raise ZeroDivisionError


def hangs(context: Context) -> None:
    """Start a process, say which, and never end."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (Path(context.directory) / "child").write_text(str(child.pid))
    context.found(begun=True)
    time.sleep(600)
