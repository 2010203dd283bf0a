"""Tools for tests of the scripts: a copy of the project to run them in, and stand-ins for commands."""

import os
import shutil
import subprocess
from pathlib import Path

from trainers.paths import ROOT


def shell(script: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs bash with lib.sh sourced, in a copy of the project's scripts and requirements."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory / "home"), **variables}
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail; source scripts/lib.sh; {script}"],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def copy_project(destination: Path) -> Path:
    """The files that the installation scripts read, in a directory of their own."""
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, destination / name)
    shutil.copy(ROOT / "pyproject.toml", destination)
    return destination


def executable(path: Path, text: str) -> Path:
    """Write a program that can be run, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def installed(project: Path, stack: str, version: str = "3.11") -> None:
    """An environment that looks as `install_stack` leaves it."""
    executable(project / ".venv/bin/python", f"#!/bin/sh\necho {version}\n")
    (project / ".venv/.atlas-versions").write_text("torch 2.13.0\n")
    stamp = shell(f"cd '{project}'; fingerprint {stack} {version}", project)
    (project / ".venv/.atlas-stack").write_text(stamp.stdout)
