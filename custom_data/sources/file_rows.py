"""Rows of files one by one, each with its place and its values as they are written.

pyarrow's and `datasets`' readers of text end a file at its first broken row, name no lines, and choose one type for a
column, by which the answers "007" and 1e3 become 7.0 and 1000.0. Parquet has types, and pyarrow reads it.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from custom_data.rows.bad_rows import BadRowError
from trainers.configuration.datasets.column_names import ACCEPTED

Placed = tuple[int, Any]
"""A line number (from 1) or row index (from 0), and a row or the `BadRowError` that took its place."""

CHUNK = 1 << 20
BATCH = 1000
SEPARATORS = re.compile(r"[ \t\r\n,]*")
"""Characters between the rows of a JSON array."""
COLUMNS = frozenset(column for name in ("messages", "choices", "question", "solution") for column in ACCEPTED[name])
"""Names under which an array belongs to a row, and is not one of rows."""


def read_lines(path: Path) -> Iterator[Placed]:
    """Read JSON lines; blank lines are no rows."""
    with open_binary(path) as file:
        for number, line in enumerate(file, 1):
            content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if content.strip():
                yield number, _object(content)


def read_json(path: Path) -> Iterator[Placed]:
    """Read a JSON array of rows piece by piece, an object with one, or JSON lines in a file called `.json`.

    Raises:
        ValueError: when an array breaks off, or an object has several arrays of rows.
    """
    with open_binary(path) as file:
        start = file.read(CHUNK).removeprefix(codecs.BOM_UTF8).lstrip()
    if start.startswith(b"["):
        return _array(path)
    wrapped = _wrapped(path)
    return read_lines(path) if wrapped is None else enumerate(wrapped)


def read_csv(path: Path) -> Iterator[Placed]:
    """Read CSV with a header; a row's place is the line on which it begins.

    Cells are separated by what separates the names of the header: commas, or else semicolons, tabs or bars.

    Raises:
        ValueError: when the header cannot be used, or a quote is open to the end, so that nobody knows what is lost.
    """
    csv.field_size_limit(1 << 30)
    with open_binary(path) as file:
        text = _decoded(file)
        first = text.readline()
        reader = csv.reader(chain([first], text), strict=True, delimiter=_separator(first))
        header = _header(reader)
        while True:
            begins = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                _check_closed(error, begins)
                # A stray quote takes all lines up to the next one with it, and each may have been a row.
                cause = BadRowError(f"invalid CSV ({error})")
                yield from ((line, cause) for line in range(begins, reader.line_num + 1))
                continue
            if cells:
                yield begins, _cells(header, cells)


def read_parquet(path: Path) -> Iterator[Placed]:
    """Yield a parquet file, some rows in memory at a time however large its row groups are."""
    # Arrow holds a row group as a whole unless it reads ahead nothing and buffers pages.
    with pq.ParquetFile(path, buffer_size=CHUNK, pre_buffer=False) as file:
        start = 0
        for batch in file.iter_batches(batch_size=BATCH, use_threads=False):
            yield from enumerate(batch_rows(batch), start)
            start += batch.num_rows


def batch_rows(batch: pa.Table | pa.RecordBatch) -> Iterator[Any]:
    """Yield the rows of a batch as dictionaries, one by one if a text of it is no UTF-8."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for index in range(batch.num_rows):
            try:
                yield from batch.slice(index, 1).to_pylist()
            except UnicodeDecodeError:
                yield BadRowError("invalid UTF-8")


def _wrapped(path: Path) -> list[Any] | None:
    """Return the rows of a file that is one object with an array of rows, as in `data`; `None` for lines.

    Raises:
        ValueError: when the object has several such arrays.
    """
    with open_binary(path) as file:
        first, second = file.readline(), file.readline()
    alone = not second.strip()
    if not alone and isinstance(_object(first.removeprefix(codecs.BOM_UTF8)), dict):
        return None
    try:
        with open_binary(path) as file:
            whole = json.load(_decoded(file))
    except (ValueError, RecursionError):
        return None
    if not isinstance(whole, dict):
        return None
    lists = {name: rows for name, rows in whole.items() if name not in COLUMNS and _is_rows(rows)}
    if len(lists) > 1:
        raise ValueError(f"it has several lists of rows, {', '.join(lists)}; write the one that is meant to a file")
    if not lists:
        return [whole]
    [rows] = lists.values()
    return [row if isinstance(row, dict) else BadRowError("not a JSON object") for row in rows]


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(row, dict) for row in value)


READERS: dict[str, Callable[[Path], Iterator[Placed]]] = {
    ".jsonl": read_lines,
    ".ndjson": read_lines,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
}


def open_binary(path: Path) -> IO[bytes]:
    """Return the bytes of a file, unpacked if it is gzipped, whatever it is called."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")


def _decoded(file: IO[bytes]) -> io.TextIOWrapper:
    # What is no UTF-8 becomes lone surrogates, which the check of each text finds.
    return io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")


def text_suffix(name: str) -> str:
    """Return the suffix that tells a file's format, `.gz` aside."""
    return Path(name.removesuffix(".gz")).suffix.lower()


def counts_lines(suffix: str) -> bool:
    """Return True for files whose rows are placed by line; those of `.json` and `.parquet` are counted by rows."""
    return suffix not in (".json", ".parquet")


def _object(content: bytes) -> Any:
    try:
        row = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        return BadRowError("invalid UTF-8")
    except (ValueError, RecursionError):
        return BadRowError("invalid JSON")
    return row if isinstance(row, dict) else BadRowError("not a JSON object")


def _cells(header: list[str], cells: list[str]) -> Any:
    if len(cells) != len(header):
        return BadRowError(f"{len(cells)} cells under {len(header)} columns")
    return dict(zip(header, cells, strict=True))


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        names = next(reader, [])
    except csv.Error as error:
        _check_closed(error, 1)
        raise ValueError(f"its header is no CSV ({error})") from error
    if twice := [name for name, count in Counter(names).items() if name and count > 1]:
        raise ValueError(f"its header has several columns {twice[0]}")
    return names


def _separator(header: str) -> str:
    outside = re.sub(r'"[^"]*"', "", header)
    return next((separator for separator in ("\t", ",", ";", "|") if separator in outside), ",")


def _check_closed(error: csv.Error, line: int) -> None:
    if "end of data" in str(error):
        raise ValueError(f"the quote that opens in line {line} is never closed") from error


def _array(path: Path) -> Iterator[Placed]:
    decoder = json.JSONDecoder()
    with open_binary(path) as file:
        text = _decoded(file)
        buffer, at, index = text.read(CHUNK).lstrip()[1:], 0, 0
        while True:
            at = cast(re.Match[str], SEPARATORS.match(buffer, at)).end()
            if buffer.startswith("]", at):
                return
            try:
                row, end = decoder.raw_decode(buffer, at)
                # Half a number is a number, too.
                complete = buffer[end : end + 1] in tuple(" \t\r\n,]")
            except ValueError:
                complete = False
            except RecursionError as error:
                raise ValueError(f"its row {index} is nested too deeply") from error
            if complete:
                yield index, row if isinstance(row, dict) else BadRowError("not a JSON object")
                at, index = end, index + 1
                continue
            more = text.read(max(CHUNK, len(buffer) - at))
            if not more:
                # How many rows are lost with it, nobody knows: there is no telling where the next one begins.
                raise ValueError(f"it is no JSON from row {index} on")
            buffer, at = buffer[at:] + more, 0
