"""Where rows come from: a local file or directory, or the Hugging Face hub."""

from __future__ import annotations

import inspect
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import (
    Dataset,
    DatasetDict,
    DownloadConfig,
    DownloadManager,
    ReadInstruction,
    get_dataset_config_names,
    load_dataset,
    load_dataset_builder,
    load_from_disk,
)
from datasets.exceptions import DatasetsError
from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from pyarrow.parquet import read_metadata

from custom_data.rows.bad_rows import BadRowError
from custom_data.rows.columns import find_columns, listed, names_of, value_of
from custom_data.sources.file_rows import BATCH, READERS, Placed, batch_rows, counts_lines, text_suffix
from custom_data.sources.traces import ALL, HELDOUT, TRAINING, TraceChoice, TraceFiles, trace_files
from trainers.configuration.datasets.column_names import ACCEPTED
from trainers.hub_ids import looks_local
from trainers.problems import ConfigurationError, Problem

FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow")
OWN_BUILDERS = {"json": ".jsonl", "csv": ".csv", "parquet": ".parquet"}
"""Names that `datasets` has for the formats that are read by us."""
PEEKED = 200
"""Rows from which the columns are known."""

RawRow = Mapping[str, Any]
RowReader = Callable[[RawRow], RawRow | None]

# `datasets` raises RuntimeError for a dataset that is read by a script of its own.
_READ_ERRORS = (OSError, EOFError, ValueError, RuntimeError, DatasetsError, pa.ArrowException, zlib.error)


@dataclass(frozen=True)
class Part:
    """Rows of one file or table: where a row stands, and the row or the `BadRowError` in its place.

    Args:
        prefix: of places, such as `line` or `b.jsonl line`.
        rows: starts reading from the first row.
        identity: changes when the rows may have changed.
    """

    prefix: str
    rows: Callable[[], Iterator[Placed]]
    identity: str

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return ((f"{self.prefix} {place}", row) for place, row in self.rows())

    def cut(self, start: int, end: int) -> Part:
        """Return the rows from `start` up to, not including, `end`."""
        return replace(self, rows=lambda: islice(self.rows(), start, end), identity=f"{self.identity}[{start}:{end}]")


@dataclass(frozen=True)
class DataSource:
    """Which rows to read.

    Args:
        dataset_id_or_path: hub id, or path of a file (jsonl, json, csv, tsv, parquet, arrow) or of a directory: one
            laid out as on the hub, or one that `save_to_disk` wrote.
        dataset_config: configuration of a hub dataset or directory.
        dataset_files: file pattern inside a hub dataset or directory, for one that names no splits.
        dataset_split: the split to read, or a part of one: `train`, `train[:10%]`, `train+test`.
        dataset_level_filter: the level to read: the configuration of that name where there is one, else the rows
            with this value in their `level` column.
        dataset_max_samples: read only the first so many rows of that.
        column_map: explicit column names, see `custom_data.rows.columns`.
        prefix: of the key that names this source, such as `eval_`.
        traces: which lessons to read of a directory or file of traces; `None` for other datasets.
    """

    dataset_id_or_path: str
    dataset_config: str | None = None
    dataset_files: str | None = None
    dataset_split: str = "train"
    dataset_level_filter: str | int | None = None
    dataset_max_samples: int | None = None
    column_map: Mapping[str, str] | None = field(default_factory=dict)
    prefix: str = ""
    traces: TraceChoice | None = None

    @property
    def name(self) -> str:
        """The source's name in messages: its key and value."""
        return f"{self.prefix}dataset_id_or_path={self.dataset_id_or_path}"

    @property
    def split_name(self) -> str:
        """The split's name in messages: its key and value."""
        return f"{self.prefix}dataset_split={self.dataset_split}"

    def open(self) -> Rows:
        """Find the rows; text files are not read yet.

        Raises:
            ConfigurationError: the path, configuration, split or level is missing, or the hub cannot be reached.
        """
        if self.dataset_level_filter is None:
            return Rows(self, tuple(self._parts()))
        level = str(self.dataset_level_filter)
        if level in self._configurations():
            source = replace(self, dataset_config=level)
            return Rows(source, tuple(source._parts()))
        return Rows(self, tuple(self._parts())).of_level(level)

    def _configurations(self) -> list[str]:
        """Return the configurations to choose from, if none is chosen."""
        path = Path(self.dataset_id_or_path).expanduser()
        local = path.is_file() or _saved(path) or (not path.exists() and looks_local(self.dataset_id_or_path))
        if local or self.dataset_config is not None:
            return []
        name = str(path) if path.exists() else cached_copy(self.dataset_id_or_path)
        return self._guarded(lambda: get_dataset_config_names(name, download_config=DownloadConfig(max_retries=1)))

    def _parts(self) -> Iterator[Part]:
        path = Path(self.dataset_id_or_path).expanduser()
        if self.traces is not None:
            yield from self._of_traces(path, self.traces)
        elif path.is_file():
            yield from self._chosen({"train": lambda: [self._file(path)]})
        elif _saved(path):
            saved = self._guarded(lambda: load_from_disk(str(path)))
            splits = saved if isinstance(saved, DatasetDict) else {"train": saved}
            yield from self._chosen({name: _loader(table) for name, table in splits.items()})
        elif not path.exists() and looks_local(self.dataset_id_or_path):
            raise self.problem("no such file or directory", "check the path, from the directory you started in")
        else:
            yield from self._built(str(path) if path.exists() else cached_copy(self.dataset_id_or_path))

    def _of_traces(self, path: Path, choice: TraceChoice) -> Iterator[Part]:
        if not trace_files(path):
            remedy = "name the directory that serve.sh --record writes to, or a file that atlas-sdk has exported"
            raise self.problem("expected a directory with traces in files that end in .jsonl", remedy)
        found = self._guarded(lambda: TraceFiles.find(path, choice))

        def parts(split: str) -> list[Part]:
            return [Part(f"{file.name} line", rows, identity) for file, rows, identity in found.readers(split)]

        yield from self._chosen({split: partial(parts, split) for split in (TRAINING, HELDOUT, ALL)})
        if found.left_out and not any(any(True for _ in part.rows()) for part in parts(ALL)):
            reasons = "; ".join(f"{count:,} {reason}" for reason, count in found.left_out.most_common())
            raise self.problem(f"no lesson is left: {reasons}", "lower trace_min_score, or choose others with trace_…")

    def _file(self, path: Path) -> Part:
        suffix = text_suffix(path.name)
        if suffix in READERS:
            return self._part(path)
        if suffix != ".arrow":
            raise self.problem(f"expected one of the formats {', '.join(FORMATS)}", "convert or rename the file")
        table = self._guarded(lambda: load_dataset("arrow", data_files=str(path), split="train"))
        return table_part(table)

    def _part(self, path: Path, suffix: str | None = None, label: str = "") -> Part:
        part = file_part(path, suffix, label)
        if (suffix or text_suffix(path.name)) == ".parquet":
            self._guarded(lambda: read_metadata(path))
        return replace(part, rows=lambda: self._guarded_rows(part.rows))

    def _built(self, name: str) -> Iterator[Part]:
        download = DownloadConfig(max_retries=1)
        builder = self._guarded(
            lambda: load_dataset_builder(
                name, self.dataset_config, data_files=self.dataset_files, download_config=download
            )
        )
        files = builder.config.data_files
        chosen = any(getattr(builder.config, name, None) is not None for name in ("field", "columns", "filters"))
        if builder.name in OWN_BUILDERS and files and not chosen:
            # Read by us: a broken line is a bad row with a number, and a parquet file needs no memory for its groups.
            manager = DownloadManager(dataset_name=builder.dataset_name, download_config=download)

            def of_split(urls: Sequence[str]) -> Callable[[], list[Part]]:
                suffix = OWN_BUILDERS[builder.name]
                return lambda: [
                    self._part(Path(local), suffix if _unnamed(local) else None, Path(url).name if urls[1:] else "")
                    for url, local in zip(urls, self._guarded(lambda: manager.download(list(urls))), strict=True)
                ]

            yield from self._chosen({str(split): of_split(urls) for split, urls in files.items()})
        else:
            table = self._guarded(
                lambda: load_dataset(
                    name,
                    self.dataset_config,
                    data_files=self.dataset_files,
                    split=self.dataset_split,
                    download_config=download,
                )
            )
            yield table_part(table)

    def _chosen(self, splits: Mapping[str, Callable[[], list[Part]]]) -> Iterator[Part]:
        for piece in self.dataset_split.split("+"):
            matched = re.fullmatch(r"\s*([^\s\[\]]+)\s*(\[[^\]]*\])?\s*", piece)
            name = matched[1] if matched else piece
            if name not in splits or matched is None:
                expected = f"{self.dataset_id_or_path} has the splits {', '.join(splits)}"
                example = next(iter(splits))
                remedy = f"write dataset_split={example}, or a part such as {example}[:10%]"
                raise ConfigurationError([Problem(self.split_name, expected, remedy)])
            parts = splits[name]()
            yield from self._cut(name, matched[2], parts) if matched[2] else parts

    def _cut(self, name: str, brackets: str, parts: list[Part]) -> Iterator[Part]:
        counts = [sum(1 for _ in part.rows()) for part in parts]
        total = {name: sum(counts)}
        [wanted] = self._guarded(lambda: ReadInstruction.from_spec(f"{name}{brackets}").to_absolute(total))
        offset = 0
        for part, count in zip(parts, counts, strict=True):
            start = max(0, (wanted.from_ or 0) - offset)
            end = max(0, (sum(counts) if wanted.to is None else wanted.to) - offset)
            if start < min(end, count):
                yield part.cut(start, min(end, count))
            offset += count

    def _guarded_rows(self, rows: Callable[[], Iterator[Placed]]) -> Iterator[Placed]:
        try:
            yield from rows()
        except _READ_ERRORS as error:
            raise ConfigurationError([self._explain(error)]) from error

    def _guarded(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except _READ_ERRORS as error:
            raise ConfigurationError([self._explain(error)]) from error

    def _explain(self, error: Exception) -> Problem:
        cause = error.__cause__ or error
        tells = isinstance(cause, _READ_ERRORS) and not isinstance(cause, RecursionError)
        text = " ".join(str(cause if tells else error).split()).rstrip(".")
        local = "give the path of a local copy instead"
        if "scripts are no longer supported" in text:
            remedy = f"download its files, and name the one to read: {self.prefix}dataset_id_or_path=…/train.jsonl"
            return Problem(self.name, "a script reads it, and `datasets` no longer runs scripts", remedy)
        if "BuilderConfig" in text or "Config name is missing" in text:
            named = re.search(r"vailable(?: configs)?: \[([^\]]*)\]", text)
            available = named[1].replace("'", "") if named else text
            given = "no dataset_config" if self.dataset_config is None else f"dataset_config={self.dataset_config}"
            expected = f"{self.dataset_id_or_path} has the configurations {available}"
            example = available.partition(",")[0] if named else "NAME"
            return Problem(given, expected, f"write one of them, for example dataset_config={example}")
        if "nknown split" in text or "ad split" in text:
            return Problem(self.split_name, text, "write one of these splits")
        if "instruction format" in text or "slice boundaries" in text:
            example = "train[:1000], train[10%:20%] or train[-500:]"
            return Problem(
                self.split_name, f"expected a split or a part of one ({text})", f"write for example {example}"
            )
        if isinstance(error, ConnectionError):
            return Problem(
                self.name, f"the hub cannot be reached ({text})", f"connect, unset HF_HUB_OFFLINE, or {local}"
            )
        if self.dataset_files and "ind '" in text and not isinstance(error, DatasetsError):
            return Problem(f"dataset_files={self.dataset_files}", text, "name a file that is there, or leave it out")
        if Path(self.dataset_id_or_path).expanduser().is_dir():
            formats = ", ".join(FORMATS)
            remedy = f"check what is in it ({formats}, or what save_to_disk wrote), or name one file"
            return Problem(self.name, f"it cannot be read: {text}", remedy)
        if isinstance(error, DatasetsError | FileNotFoundError):
            remedy = f"check the spelling; for a private or gated one export HF_TOKEN=… of who may read it; or {local}"
            return Problem(self.name, f"it cannot be read: {text}", remedy)
        remedy = "check the file and mend it" if looks_local(self.dataset_id_or_path) else f"check the file, or {local}"
        return Problem(self.name, f"it cannot be read: {text}", remedy)

    def problem(self, expected: str, remedy: str) -> ConfigurationError:
        """Return an error about this source."""
        return ConfigurationError([Problem(self.name, expected, remedy)])


@dataclass(frozen=True)
class Rows:
    """The rows that a source names.

    Args:
        source: whose rows these are.
        parts: files and tables, in order.
        level: column and value that a row must have to be read at all.
        row_reader: a function from a row to one with names that we know.
        reader_settings: what else it was given, as text.
    """

    source: DataSource
    parts: tuple[Part, ...]
    level: tuple[str, str] | None = None
    row_reader: RowReader | None = None
    reader_settings: str = ""

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for place, row in islice(self._of_level(), self.source.dataset_max_samples):
            yield place, row if self.row_reader is None or isinstance(row, BadRowError) else self._through(row)

    def _of_level(self) -> Iterator[tuple[str, Any]]:
        rows: Iterator[tuple[str, Any]] = chain.from_iterable(self.parts)
        if self.level is None:
            return rows
        column, level = self.level

        def has_level(row: Any) -> bool:
            return isinstance(row, BadRowError) or str(value_of(row, column)) == level

        return ((place, row) for place, row in rows if has_level(row))

    def _through(self, row: RawRow) -> Any:
        assert self.row_reader is not None
        try:
            result = self.row_reader(row)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            return BadRowError(f"row_reader raised {type(error).__name__}")
        return result if isinstance(result, Mapping) else BadRowError("row_reader gave no row")

    @property
    def identity(self) -> tuple[Any, ...]:
        """The files, filters and reader code that decide which rows these are, for the key of cached tables."""
        parts = [part.identity for part in self.parts]
        return parts, self.level, self.source.dataset_max_samples, *self._reader_identity()

    def _reader_identity(self) -> tuple[str, ...]:
        if self.row_reader is None:
            return ()
        # Of a function with settings, that function; of an object, its class.
        reader = getattr(self.row_reader, "func", self.row_reader)
        kind = reader if hasattr(reader, "__qualname__") else type(reader)
        return inspect.getsource(inspect.getmodule(kind) or Rows), kind.__qualname__, self.reader_settings

    def columns(self) -> tuple[str, ...]:
        """Return the columns of the first rows, in order, and those inside of nested ones: see `names_of`."""
        rows = islice((row for _, row in self if not isinstance(row, BadRowError)), PEEKED)
        return tuple(dict.fromkeys(column for row in rows for column in names_of(row)))

    def of_level(self, level: str) -> Rows:
        """Keep only the rows whose level column has this value.

        Raises:
            ConfigurationError: when there is no such column or no such level.
        """
        found = self.columns()
        column = find_columns(found, ("level",), self.source.column_map).get("level")
        given = f"dataset_level_filter={level}"
        if column is None:
            names = ", ".join(ACCEPTED["level"])
            expected = f"no configuration has that name, and none of the columns {listed(found)} is {names}"
            remedy = "leave it out, or say which column holds the level: column_map.level=…"
            raise ConfigurationError([Problem(given, expected, remedy)])
        filtered = replace(self, level=(column, level))
        if not any(not isinstance(row, BadRowError) for _, row in filtered):
            rows = (row for _, row in chain.from_iterable(self.parts) if not isinstance(row, BadRowError))
            seen = sorted({str(value_of(row, column)) for row in rows})
            expected = f"column {column} holds {', '.join(seen[:20])}{', …' if seen[20:] else ''}"
            raise ConfigurationError([Problem(given, expected, "write one of these levels")])
        return filtered


def file_part(path: Path, suffix: str | None = None, label: str = "") -> Part:
    """Return a file that we read as a part; `label` says which one it is, where there are several."""
    suffix = suffix or text_suffix(path.name)
    state = path.stat()
    noun = "line" if counts_lines(suffix) else "row"
    reader = READERS[suffix]
    return Part(
        f"{label} {noun}".strip(),
        lambda: reader(path),
        f"{path.resolve()}:{state.st_size}:{state.st_mtime_ns}",
    )


def table_part(table: Dataset) -> Part:
    """Return a `datasets.Dataset` as a part; a place is a row index."""
    return Part("row", lambda: read_table(table), table._fingerprint)


def read_table(table: Dataset) -> Iterator[Placed]:
    """Yield rows of an Arrow table with their indices, a batch in memory at a time."""
    start = 0
    for batch in table.with_format("arrow").iter(batch_size=BATCH):
        yield from enumerate(batch_rows(batch), start)
        start += batch.num_rows


def cached_copy(name: str) -> str:
    """Return the directory of a hub dataset's files in the hub's cache, where the hub may not be asked; else its name.

    Offline, `datasets` looks for tables of its own alone, which nobody has made who only downloaded the files.
    """
    if not constants.HF_HUB_OFFLINE:
        return name
    try:
        # The module's own value: the library's default argument is that of when it was imported.
        return snapshot_download(name, repo_type="dataset", cache_dir=constants.HF_HUB_CACHE, local_files_only=True)
    except (LocalEntryNotFoundError, ValueError):
        return name


def _loader(table: Dataset) -> Callable[[], list[Part]]:
    return lambda: [table_part(table)]


def _saved(path: Path) -> bool:
    return (path / "state.json").is_file() or (path / "dataset_dict.json").is_file()


def _unnamed(path: str) -> bool:
    return text_suffix(path) not in READERS
