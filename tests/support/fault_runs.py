"""Tests that do a fault again and again, at moments drawn by a seed, and are counted for the page on reliability.

A test marked `@pytest.mark.fault("what happens", "what is promised")` belongs to that row of the table there, of which
a text may name parameters of the test in braces. It is run as often as `--repeats`, or `--real-repeats` for tests on
real servers and trainings, says in `python -m tests.faults`; in an ordinary run of the tests once, or `sample=N` times
(of the marker, 2 by default) where it asks for `chance`, and not at all where N is 0, as CI has no time for some.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

MARK, FAULT, PROMISE, NOTICED = "fault", "fault", "promise", "noticed_s"
SAMPLE = 2
REASON = 300
"""Characters that are kept of the reason for which a repeat was lost."""


def add_options(parser: pytest.Parser) -> None:
    """Declare how often faults are done, and by which seed."""
    group = parser.getgroup("faults")
    group.addoption("--repeats", type=int, help="times that a fault on stand-ins is done")
    group.addoption("--real-repeats", type=int, help="times that a fault on real servers and trainers is done")
    group.addoption("--fault-seed", type=int, default=1, help="seed of the moments and places of faults")


def is_real(item: pytest.Item | pytest.Function) -> bool:
    """Return whether a test runs real servers or trainers."""
    return any(item.get_closest_marker(name) is not None for name in ("slow", "servers"))


def repeat_faults(metafunc: pytest.Metafunc) -> None:
    """Run a fault as often as the command line says; one that asks for `chance`, else as often as its marker says."""
    asked = metafunc.config.getoption("--real-repeats" if is_real(metafunc.definition) else "--repeats")
    marker = metafunc.definition.get_closest_marker(MARK)
    if "repeat" not in metafunc.fixturenames:
        # Nothing is drawn, but what runs side by side meets at another moment each time.
        if marker is None or (asked or 1) == 1:
            return
        metafunc.fixturenames.append("repeat")
    sample = marker.kwargs.get("sample", SAMPLE) if marker is not None else SAMPLE
    metafunc.parametrize("repeat", range(asked or sample))


def note_row(item: pytest.Item) -> None:
    """Tell whoever reads a test's report to which row of the table it belongs."""
    marker = item.get_closest_marker(MARK)
    if marker is not None:
        named = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        fault, promise = (text.format(**named) for text in marker.args)
        item.user_properties += [(FAULT, fault), (PROMISE, promise)]


@dataclass
class Notice:
    """Takes the seconds from a fault until somebody noticed it, or until its consequences were gone."""

    seconds: list[float] = field(default_factory=list)

    @contextmanager
    def within(self, limit_s: float) -> Iterator[None]:
        """Take the time of what happens inside, which must be over in time."""
        start = time.monotonic()
        yield
        self.seconds.append(time.monotonic() - start)
        assert self.seconds[-1] <= limit_s, f"took {self.seconds[-1]:.1f} s of {limit_s:.1f} s"


@pytest.fixture
def chance(request: pytest.FixtureRequest, repeat: int) -> random.Random:
    """Draws what a repeat does: the same for one seed, test and number of the repeat."""
    return random.Random(f"{request.config.getoption('--fault-seed')}/{request.node.name}/{repeat}")


@pytest.fixture
def notice(request: pytest.FixtureRequest) -> Iterator[Notice]:
    """Takes times to notice, of which the table shows the longest."""
    taken = Notice()
    yield taken
    request.node.user_properties += [(NOTICED, seconds) for seconds in taken.seconds]


class Tally:
    """A plugin of pytest that counts the repeats of every row."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count what a test reports."""
        said = dict(report.user_properties)
        if FAULT not in said:
            return
        fault, promise = str(said[FAULT]), str(said[PROMISE])
        row = self.rows.setdefault((fault, promise), Row(fault, promise))
        row.seconds += report.duration
        if report.skipped:
            row.skipped += 1
        elif report.when == "call" or report.failed:
            row.survived += report.passed
            row.lost += [f"{report.nodeid}: {_why(report)}"] * report.failed
        if report.when == "teardown":
            taken = [float(str(value)) for name, value in report.user_properties if name == NOTICED]
            row.noticed_s = max([row.noticed_s or 0.0, *taken]) if taken else row.noticed_s


@dataclass
class Row:
    """The counts of one fault; of repeats that were lost, which and why."""

    fault: str
    promise: str
    survived: int = 0
    lost: list[str] = field(default_factory=list)
    skipped: int = 0
    noticed_s: float | None = None
    seconds: float = 0.0


def _why(report: pytest.TestReport) -> str:
    """Return the first line of what a test failed with."""
    crash = getattr(report.longrepr, "reprcrash", None)
    said = crash.message if crash is not None else report.longreprtext
    return (said.splitlines() or ["no reason was told"])[0][:REASON]
