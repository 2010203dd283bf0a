"""The questions of a table as a sequence that reads them from disk when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, overload

from custom_data.tables.arrow_tables import Table
from trainers.teaching.lesson import Question

BATCH = 1000


class Questions(Sequence[Question]):
    """Questions of a table; `row` of each is its index here."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> Question: ...

    @overload
    def __getitem__(self, index: slice) -> Questions: ...

    def __getitem__(self, index: int | slice) -> Question | Questions:
        if isinstance(index, slice):
            return Questions(self.table.taking(self.table.rows[index]))
        row = range(len(self))[index]
        return _question(row, self.table.data[int(self.table.rows[row])])

    def __iter__(self) -> Iterator[Question]:
        for start in range(0, len(self), BATCH):
            columns = self.table.data[self.table.rows[start : start + BATCH].tolist()]
            records = zip(*columns.values(), strict=True)
            for row, record in enumerate(records, start):
                yield _question(row, dict(zip(columns, record, strict=True)))


def _question(row: int, record: dict[str, Any]) -> Question:
    return Question(row, record["question"], record["ground_truth"], json.loads(record["extra"]))
