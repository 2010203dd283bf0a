"""The agent of a training's ranks is gone as soon as these have ended: others wait for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ACCELERATE = """
import atexit, threading, time
from pathlib import Path

def main():
    atexit.register(Path("left").touch)
    threading.Thread(target=time.sleep, args=(60,)).start()
    print("said")
"""


def test_it_leaves_without_waiting_for_what_is_left_of_it(tmp_path: Path) -> None:
    """A thread stands in for torch, which an ordinary end would wait for or take apart."""
    package = tmp_path / "accelerate" / "commands"
    package.mkdir(parents=True)
    for module in (package.parent / "__init__.py", package / "__init__.py"):
        module.touch()
    (package / "launch.py").write_text(ACCELERATE)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    command = [sys.executable, "-m", "trainers.launch.supervise.accelerate_agent"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "said\n"
    assert (tmp_path / "left").exists()
