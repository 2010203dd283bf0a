"""Rows that cannot be used: why, how many, where; and when there are too many of them to go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainers.problems import ConfigurationError, Problem

SHOWN = 5
"""Number of places that are kept per cause."""

DUPLICATE = "the same as an earlier row"
LONGEST = 1_000_000
"""Bytes of UTF-8 above which a text is no question, answer or teaching, but an accident."""
LONGEST_WITH_TESTS = 100_000_000
"""The same for a row on code with its tests, some of which are large on purpose."""


class BadRowError(ValueError):
    """A row that cannot be used; its message is the cause that it is counted under."""


@dataclass(frozen=True)
class Dropped:
    """Rows dropped for one cause, with the first few places: line numbers of a text file, row indices otherwise."""

    cause: str
    count: int
    places: tuple[str, ...]

    def __str__(self) -> str:
        more = ", …" if self.count > len(self.places) else ""
        return f"{self.count:,} {'row' if self.count == 1 else 'rows'}: {self.cause} ({', '.join(self.places)}{more})"


@dataclass(frozen=True)
class Reading:
    """Counts from reading one source: rows read, rows kept, and the others by cause, the most frequent first.

    `notes` say what is worth a second thought about the rows that were kept.
    """

    source: str
    read: int
    kept: int
    dropped: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def bad(self) -> int:
        """Rows that are broken. Repetitions are dropped too, but they say nothing about the rest of a source."""
        return sum(entry.count for entry in self.dropped if entry.cause != DUPLICATE)

    def lines(self) -> list[str]:
        """Return lines for people: one on the source, and one per cause."""
        total = f"{self.source}: {self.read:,} rows read, {self.kept:,} kept"
        return [total, *(f"  dropped {entry}" for entry in self.dropped)]


def check(reading: Reading, max_bad_row_ratio: float) -> None:
    """Refuse a source with too many bad rows, or without a usable one.

    Raises:
        ConfigurationError: with the causes and the places to look at.
    """
    causes = "; ".join(map(str, reading.dropped))
    if reading.read == 0:
        raise ConfigurationError(
            [Problem(reading.source, "expected at least one row, it has none", "check how it was made, and the split")]
        )
    given = f"{reading.source}: {reading.bad:,} of {reading.read:,} rows are bad"
    if reading.kept == 0:
        expected = f"expected at least one that can be used; {causes}"
        remedy = "mend the rows, or say where the texts are: column_map={question: …, solution: …} or row_reader=…"
        raise ConfigurationError([Problem(given, expected, remedy)])
    if reading.bad > max_bad_row_ratio * reading.read:
        expected = f"expected at most the share max_bad_row_ratio={max_bad_row_ratio:g}; {causes}"
        enough = rounded_up(reading.bad / reading.read)
        remedy = f"mend the rows named, or accept the loss with max_bad_row_ratio={enough:g}"
        raise ConfigurationError([Problem(given, expected, remedy)])


def summarise(source: str, read: int, kept: int, dropped: Sequence[Dropped], notes: Sequence[str] = ()) -> Reading:
    """Return a reading with its causes in order of frequency."""
    return Reading(source, read, kept, tuple(sorted(dropped, key=lambda entry: -entry.count)), tuple(notes))


def rounded_up(share: float) -> float:
    """Return a share with three decimals that is no smaller, to be typed."""
    return min(1.0, -(-share * 1000 // 1) / 1000)
