"""The order in which files of tests are begun: the longest first, lest one process be left alone with one of them.

Every run notes in pytest's cache how long its tests took, and the next one goes by that. Files of which nothing is
noted, as on a new machine, go by the list beside this module, which is written from what whole runs have noted:

    python -m tests.support.longest_first
"""

from __future__ import annotations

import json
import logging
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from trainers.paths import ROOT
from trainers.terminal.log_lines import log_to_standard_error

LISTED = Path(__file__).with_suffix(".json")
"""Files of more than `LONG_S`, from the longest on."""
LONG_S = 60.0
CACHE = "atlas/seconds"
logger = logging.getLogger("longest_first")


class Stopwatch:
    """A plugin that begins with the longest files, and notes how long tests take.

    Args:
        config: of this run. Processes of xdist are told what the first one knows, since all must have one order.
        listed: of files that take long.
    """

    def __init__(self, config: pytest.Config, listed: Sequence[str]) -> None:
        self._listed = listed
        self._took: dict[str, float] = defaultdict(float)
        told = getattr(config, "workerinput", None)
        # There is none with `-p no:cacheprovider`, nor is it a worker's to write.
        self._cache = getattr(config, "cache", None) if told is None else None
        self._noted: dict[str, float] = told[CACHE] if told is not None else {}
        if self._cache is not None:
            self._noted = self._cache.get(CACHE, {})

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a process of xdist what is known."""
        node.workerinput[CACHE] = self._noted

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Begin with the files that take longest."""
        items[:] = longest_first(items, self._noted, self._listed)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the time of a test, of what it needs and of what it leaves."""
        if not report.skipped:
            self._took[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        """Note what was taken; what did not run stays as it was noted."""
        if self._cache is not None:
            took = {test: round(seconds, 1) for test, seconds in self._took.items()}
            self._cache.set(CACHE, {**self._noted, **took})


def longest_first(items: Sequence[pytest.Item], noted: Mapping[str, float], listed: Sequence[str]) -> list[pytest.Item]:
    """Return the tests with those of long files before all others, which stay as they were collected.

    Args:
        items: the tests.
        noted: seconds of tests, by what pytest calls them.
        listed: the files that are long, the longest first, as far as nothing is noted of them.
    """
    of_these = {item.nodeid: noted[item.nodeid] for item in items if item.nodeid in noted}
    known = {_file(test) for test in of_these}
    names = [*(name for name in listed if name not in known), *long_files(of_these)]
    rank = {name: place for place, name in enumerate(names)}
    return sorted(items, key=lambda item: rank.get(_file(item.nodeid), len(rank)))


def long_files(noted: Mapping[str, float]) -> list[str]:
    """Return the files that take long by what is noted of their tests, the longest first."""
    seconds: dict[str, float] = defaultdict(float)
    for test, each in noted.items():
        seconds[_file(test)] += each
    return sorted((name for name, each in seconds.items() if each >= LONG_S), key=lambda name: -seconds[name])


def main() -> int:
    """Write the list anew from what this machine's runs have noted."""
    log_to_standard_error()
    cache = ROOT / ".pytest_cache" / "v" / CACHE
    noted = json.loads(cache.read_text(encoding="utf-8")) if cache.is_file() else {}
    if not noted:
        logger.error("%s: nothing is noted there. → run `bash scripts/test.sh` first", cache)
        return 2
    names = [name for name in long_files(noted) if (ROOT / name).is_file()]
    LISTED.write_text(json.dumps(names, indent=2) + "\n", encoding="utf-8")
    logger.info("%s: %d files of a minute or more", LISTED, len(names))
    return 0


def _file(test: str) -> str:
    return test.partition("::")[0]


if __name__ == "__main__":
    sys.exit(main())
