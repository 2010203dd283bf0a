"""Rows whose ground truth the verifier cannot read whole: no answer could be judged by it, so they are left out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import datasets
import numpy as np
from tqdm import tqdm

from custom_data.rows.bad_rows import SHOWN, Dropped, rounded_up
from custom_data.tables.arrow_tables import Table
from custom_data.tables.questions import Questions
from trainers.paths import ROOT
from trainers.problems import ConfigurationError, Problem
from trainers.teaching.lesson import Question

EXAMPLES, LONGEST_EXAMPLE = 3, 60
AT_ONCE = 1000
READER = ROOT / "trainers" / "teaching" / "verifiers"


class TruthReader(Protocol):
    """Knowledge of ground truths that a verifier has before anything is asked; see `MathVerifier`."""

    def expressions_in(self, question: Question) -> list[str]:
        """Return the parts of a question's ground truths that have to be read."""
        ...

    def unreadable(self, expressions: Sequence[str]) -> list[str]:
        """Return those that cannot be read."""
        ...


@dataclass(frozen=True)
class Readable:
    """The rows whose ground truths can be read, and the others, with the first few of their ground truths."""

    table: Table
    dropped: Dropped | None = None
    examples: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """The share of the rows that are left out."""
        count = self.dropped.count if self.dropped else 0
        return count / max(1, count + len(self.table))


def readable_truths(table: Table, reader: TruthReader) -> Readable:
    """Return the rows whose ground truths can be read whole; what was found is kept in the cache of `datasets`."""
    rows_of: dict[str, list[int]] = {}
    for question in Questions(table):
        for expression in reader.expressions_in(question):
            rows_of.setdefault(expression, []).append(question.row)
    unread = _remembered(sorted(rows_of), reader.unreadable)
    rows = sorted({row for expression in unread for row in rows_of[expression]})
    if not rows:
        return Readable(table)
    keep = np.ones(len(table), dtype=bool)
    keep[rows] = False
    shown = [table.data[int(table.rows[row])] for row in rows[:SHOWN]]
    examples = tuple(_short(str(record["ground_truth"])) for record in shown[:EXAMPLES])
    cause = f"ground truth cannot be read whole, such as {', '.join(examples)}"
    dropped = Dropped(cause, len(rows), tuple(record["place"] for record in shown))
    return Readable(table.taking(table.rows[keep]), dropped, examples)


def settle_truths(part: str, readable: Readable, max_unreadable_ratio: float) -> None:
    """Refuse a part of the data of which more than a share would be left out, or everything.

    Raises:
        ConfigurationError: with examples, and the ways to compare them.
    """
    dropped, kept = readable.dropped, len(readable.table)
    if dropped is None or (kept and readable.share <= max_unreadable_ratio):
        return
    given = f"{part}: {dropped.count:,} of {dropped.count + kept:,} ground truths cannot be read as mathematics"
    expected = f"expected at most the share max_unreadable_ratio={max_unreadable_ratio:g}; {dropped}"
    remedy = "compare answers as texts with verifier=exact, give a verifier of your own, or mend the rows"
    accept = f"; or do without them: max_unreadable_ratio={rounded_up(readable.share):g}" if kept else ""
    raise ConfigurationError([Problem(given, expected, remedy + accept)])


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= LONGEST_EXAMPLE else f"{text[: LONGEST_EXAMPLE - 1]}…")


def _remembered(expressions: Sequence[str], unreadable: Callable[[Sequence[str]], list[str]]) -> list[str]:
    """Return the unreadable expressions, from a file where the same ones have been tried by the same code before."""
    if not expressions:
        return []
    code = b"".join(path.read_bytes() for path in sorted(READER.rglob("*.py")))
    key = hashlib.blake2b(code + json.dumps(expressions).encode(), digest_size=16).hexdigest()
    file = Path(datasets.config.HF_DATASETS_CACHE) / "ground_truths" / f"{key}.json"
    if file.is_file():
        return [str(text) for text in json.loads(file.read_text(encoding="utf-8"))]
    found: list[str] = []
    quiet = len(expressions) <= AT_ONCE
    with tqdm(total=len(expressions), desc="Reading ground truths", mininterval=2, disable=quiet) as bar:
        for start in range(0, len(expressions), AT_ONCE):
            some = expressions[start : start + AT_ONCE]
            found += unreadable(some)
            bar.update(len(some))
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps(found), encoding="utf-8")
    unfinished.replace(file)
    return found
