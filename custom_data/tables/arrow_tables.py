"""Rows as memory-mapped Arrow tables on disk, read and checked once and then taken from the cache.

A table has one line per row read, good or bad: its place, its texts, two keys, and the cause if it is bad. What is kept
of it is an array of row numbers, so that a million rows cost eight megabytes of memory however long their texts are.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, Features, Value
from datasets.exceptions import DatasetGenerationError

from custom_data.rows.bad_rows import DUPLICATE, SHOWN, BadRowError, Dropped, Reading, check, summarise
from custom_data.rows.formats import Format
from custom_data.rows.heldout import Rows as RowNumbers
from custom_data.rows.heldout import first_of_each
from custom_data.sources.data_source import Rows
from trainers.paths import ROOT


class Table:
    """The rows of one source, read and checked, and the choice of those that are used.

    Args:
        data: the table on disk, with the columns of a format and `place`, `key`, `question_key`, `cause`.
        rows: numbers of the rows that are used.
        reading: what became of the others.
    """

    def __init__(self, data: Dataset, rows: RowNumbers, reading: Reading) -> None:
        self.data = data
        self.rows = rows
        self.reading = reading

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def empty(cls) -> Table:
        """Return a table without rows."""
        return cls(Dataset.from_dict({}), np.zeros(0, dtype=np.int64), Reading("nothing", 0, 0))

    def taking(self, rows: RowNumbers) -> Table:
        """Return the same table, using other rows of it."""
        return Table(self.data, rows, self.reading)

    @property
    def question_keys(self) -> np.ndarray:
        """Which question each used row is on."""
        return self.data.data.column("question_key").to_numpy()[self.rows]

    def longest(self, *names: str) -> np.ndarray:
        """Return an upper bound of the bytes of several columns' texts together, in each used row, after any NFC.

        Composing never adds to ASCII; elsewhere it may take three times the bytes at most.
        """
        total = np.zeros(len(self.data), dtype=np.int64)
        for name in names:
            column = self.data.data.column(name)
            sizes = pc.binary_length(pc.cast(column, "binary")).to_numpy()
            total += np.where(pc.string_is_ascii(column).to_numpy(), sizes, 3 * sizes)
        return total[self.rows]

    def dataset(self) -> Dataset:
        """Return the used rows as a dataset."""
        return self.data.select(self.rows)


def read(rows: Rows, form: Format, max_bad_row_ratio: float) -> Table:
    """Read, check and keep what can be used; the file is read again only after it has changed.

    Raises:
        ConfigurationError: when too many rows are bad, or none is left.
    """
    if next(iter(rows), None) is None:
        check(Reading(rows.source.name, 0, 0), max_bad_row_ratio)
    data = _cached(rows, form)
    causes = data.data.column("cause")
    good = np.flatnonzero(pc.is_null(causes).to_numpy())
    keys = data.data.column("key").to_numpy()[good]
    first = first_of_each(keys)
    repeated = good[~first]
    dropped = [*_by_cause(data, causes), *_repeated(data, repeated)]
    reading = summarise(rows.source.name, len(data), int(first.sum()), dropped, form.warnings())
    check(reading, max_bad_row_ratio)
    return Table(data, good[first], reading)


def _cached(rows: Rows, form: Format) -> Dataset:
    features = {name: Value("string") for name in (*form.fields, "place", "cause")}
    keys = {name: Value("int64") for name in ("key", "question_key")}
    try:
        return Dataset.from_generator(
            _records,
            features=Features(features | keys),
            gen_kwargs={"rows": rows, "form": form},
            fingerprint=_fingerprint(rows, form),
        )
    except DatasetGenerationError as error:
        raise error.__cause__ or error from None


def _records(rows: Rows, form: Format) -> Iterator[dict[str, Any]]:
    empty = dict.fromkeys(form.fields, "") | {"key": 0, "question_key": 0}
    for place, row in rows:
        try:
            if isinstance(row, BadRowError):
                raise row
            yield form.read(row) | {"place": place, "cause": None}
        except BadRowError as error:
            yield empty | {"place": place, "cause": str(error)}


def _fingerprint(rows: Rows, form: Format) -> str:
    """Changes when other rows would be read, or the same ones otherwise: with the files, the keys, and this package."""
    code = b"".join(path.read_bytes() for path in sorted((ROOT / "custom_data").rglob("*.py")))
    described = json.dumps([rows.identity, type(form).__name__, str(form)])
    return hashlib.blake2b(code + described.encode(), digest_size=16).hexdigest()


def _by_cause(data: Dataset, causes: Any) -> Iterator[Dropped]:
    bad = np.flatnonzero(pc.is_valid(causes).to_numpy())
    named = causes.take(bad).to_pylist()
    for cause, count in Counter(named).items():
        first = [int(row) for row, name in zip(bad, named, strict=True) if name == cause][:SHOWN]
        yield Dropped(cause, count, _places(data, first))


def _repeated(data: Dataset, rows: RowNumbers) -> Iterator[Dropped]:
    if len(rows):
        yield Dropped(DUPLICATE, len(rows), _places(data, [int(row) for row in rows[:SHOWN]]))


def _places(data: Dataset, rows: list[int]) -> tuple[str, ...]:
    return tuple(data.data.column("place").take(rows).to_pylist())
