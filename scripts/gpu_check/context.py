"""The run that a check belongs to, and the place of what it finds."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trainers.configuration.devices.machine import Machine, detect
from trainers.paths import ROOT

TAIL = 1500


class CheckFailed(Exception):
    """A check found something wrong. The message says what."""


@dataclass
class Context:
    """One run of the checks.

    Args:
        directory: of everything that it makes.
        size: of the random models.
        name: of the check.
    """

    directory: str
    size: str
    name: str = ""
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The directory of everything that the run makes."""
        return Path(self.directory)

    @property
    def machine(self) -> Machine:
        """The machine at hand."""
        return detect()

    def model(self, role: str) -> Path:
        """Return where the random model of a role lies."""
        return self.root / "models" / self.size / role

    def found(self, **figures: Any) -> None:
        """Keep figures at once, so that a check which is cut off has left them."""
        self.figures |= figures
        (self.root / f"{self.name}.json").write_text(json.dumps(self.figures), encoding="utf-8")

    def run(self, command: Sequence[str], log: str) -> str:
        """Run a command of this checkout to its end; return what it wrote, which the log has too.

        Raises:
            CheckFailed: with the end of its log, when its status is not 0.
        """
        path = self.root / "logs" / log
        with path.open("wb") as file:
            status = subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
        text = path.read_text(encoding="utf-8", errors="replace")
        if status:
            raise CheckFailed(f"{' '.join(command[:3])} … ended with status {status}; {path} ends: {text[-TAIL:]}")
        return text

    def save(self, path: Path) -> None:
        """Write it for a process of its own."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def loaded(path: Path) -> Context:
    """Read what `save` wrote."""
    return Context(**json.loads(path.read_text(encoding="utf-8")))
