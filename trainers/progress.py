"""Progress of a run, told by the process that works to the launcher that draws it.

A launcher with a terminal sets `RECORDS` for the processes that it starts. They then write records to their standard
error, a line of JSON each behind `MARK`, which the launcher takes out of what they write. Nobody else sees any.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Any

RECORDS = "ATLAS_PROGRESS_RECORDS"
"""Environment variable that is set where records are read."""
MARK = "\x1e"
"""ASCII's record separator, which no library writes."""
LOGGED_EVERY_S = 30.0

logger = logging.getLogger(__name__)


def is_drawn() -> bool:
    """Return whether a launcher draws what this process, the first of its ranks, tells."""
    return bool(os.environ.get(RECORDS)) and os.environ.get("RANK", "0") == "0"


def tell(**fields: Any) -> None:
    """Tell some of `stage`, `done`, `total`, `figures`, `note` and `lesson`; what is left out stays as it was drawn."""
    if is_drawn():
        # In one piece: other threads write lines too.
        sys.stderr.write(f"{MARK}{json.dumps(fields)}\n")
        sys.stderr.flush()


class Count:
    """A stage that is counted: drawn as a bar, and logged every `LOGGED_EVERY_S` seconds and at its end.

    Args:
        stage: what is done.
        total: how many there are.
        unit: what is counted, in the plural.
    """

    def __init__(self, stage: str, total: int, unit: str) -> None:
        self._stage, self._total, self._unit = stage, total, unit
        self._done = 0
        self._logged = time.monotonic()
        tell(stage=stage, done=0, total=total)

    def advance(self) -> None:
        """Count one more."""
        self._done += 1
        tell(done=self._done)
        now = time.monotonic()
        if self._done == self._total or now - self._logged >= LOGGED_EVERY_S:
            self._logged = now
            logger.info("%s: %d of %d %s", self._stage, self._done, self._total, self._unit)
