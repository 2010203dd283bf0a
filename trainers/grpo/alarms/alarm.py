"""An alarm of a run, and the file of those that were told."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from trainers.jsonl import append, mend, whole_rows
from trainers.output.files import told

ALARMS = "alarms.jsonl"
"""The file of a run's alarms: `step`, `time` (Unix seconds), `alarm`, `found` and `remedy`."""

Metrics = Mapping[str, Any]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Alarm:
    """Something in a run's figures that its user should know.

    Args:
        name: by which it is known to have been told; alarms that say the same share it.
        found: what the figures show, with numbers.
        remedy: what to do.
        hopeless: whether the run cannot learn.
        recurs: whether whoever raises it has seen it end meanwhile, so that it is told again.
    """

    name: str
    found: str
    remedy: str
    hopeless: bool = False
    recurs: bool = False

    @property
    def text(self) -> str:
        """The alarm in words."""
        return f"{self.found}. → {self.remedy}"


class Watcher(Protocol):
    """Looks at what a run logs."""

    def begin(self, step: int, rows: Iterable[Metrics]) -> None:
        """Take where the run continues, and what it logged until there."""
        ...

    def look(self, step: int, metrics: Metrics) -> list[Alarm]:
        """Take what was logged; return the alarms that this gives reason for, told before or not."""
        ...


class AlarmBook:
    """Tells each alarm once per run, in the log and in `alarms.jsonl`, where a continued run finds those of before.

    Args:
        output_dir: of the run.
    """

    def __init__(self, output_dir: str) -> None:
        self._path = Path(output_dir) / ALARMS
        with told(self._path):
            mend(self._path)
        self._told = {row.get("alarm") for row in whole_rows(self._path)}

    def tell(self, step: int, alarms: Iterable[Alarm]) -> None:
        """Tell those that are new."""
        for alarm in alarms:
            if alarm.name in self._told and not alarm.recurs:
                continue
            self._told.add(alarm.name)
            beginning = "this run cannot learn: " if alarm.hopeless else ""
            logger.warning("step %d: %s%s", step, beginning, alarm.text)
            record = {"step": step, "time": time.time(), "alarm": alarm.name}
            with told(self._path):
                append(self._path, [record | {"found": alarm.found, "remedy": alarm.remedy}])
