"""Where rows come from: a local file, a local directory or the Hugging Face hub, always as a `datasets.Dataset`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset, load_dataset

from custom_data.columns import RL_COLUMNS, SFT_COLUMNS, resolve_columns
from trainers.configuration.problems import ConfigurationError, Problem
from trainers.configuration.surroundings import looks_local
from trainers.teaching.lesson import Question

FORMATS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet", ".arrow": "arrow"}


@dataclass(frozen=True)
class DataSource:
    """Which rows to read.

    Args:
        dataset_id_or_path: hub id, or path of a file (jsonl, json, csv, parquet, arrow) or of a directory.
        dataset_config: the hub dataset's configuration name.
        dataset_files: file pattern inside a hub dataset or directory, for one that names no splits.
        dataset_split: split of a hub dataset or directory.
        dataset_max_samples: keep only the first so many rows.
        column_map: explicit column names, see `custom_data.columns`.
    """

    dataset_id_or_path: str
    dataset_config: str | None = None
    dataset_files: str | None = None
    dataset_split: str = "train"
    dataset_max_samples: int | None = None
    column_map: Mapping[str, str] = field(default_factory=dict)

    def load(self) -> Dataset:
        """Read the rows.

        Raises:
            ConfigurationError: the path is missing, empty or of an unknown format.
        """
        dataset = self._read()
        if len(dataset) == 0:
            raise self._problem("expected at least one row, it has none", "check how the file was made")
        if self.dataset_max_samples is not None:
            dataset = dataset.select(range(min(self.dataset_max_samples, len(dataset))))
        return dataset

    def _read(self) -> Dataset:
        path = Path(self.dataset_id_or_path)
        if path.is_file():
            if path.suffix not in FORMATS:
                raise self._problem(f"expected one of the formats {', '.join(FORMATS)}", "convert or rename the file")
            return load_dataset(FORMATS[path.suffix], data_files=str(path), split="train")
        if not path.exists() and looks_local(self.dataset_id_or_path):
            raise self._problem("no such file or directory", "check the path, from the directory you started in")
        return load_dataset(
            self.dataset_id_or_path, self.dataset_config, data_files=self.dataset_files, split=self.dataset_split
        )

    def _problem(self, expected: str, remedy: str) -> ConfigurationError:
        return ConfigurationError([Problem(f"dataset_id_or_path={self.dataset_id_or_path}", expected, remedy)])


def questions(dataset: Dataset, column_map: Mapping[str, str] | None = None) -> list[Question]:
    """Rows as questions; columns other than question and solution travel in `extra`, for verifiers and reports.

    Raises:
        ConfigurationError: when question or solution cannot be found.
    """
    columns = resolve_columns(dataset.column_names, RL_COLUMNS, column_map)
    question, solution = columns["question"], columns["solution"]
    return [
        Question(
            row=index,
            text=str(row[question]),
            ground_truth=None if row[solution] is None else str(row[solution]),
            extra={key: value for key, value in row.items() if key not in (question, solution)},
        )
        for index, row in enumerate(dataset)
    ]


def sft_examples(dataset: Dataset, column_map: Mapping[str, str] | None = None) -> Dataset:
    """Rows of the Arc-ATLAS-Teach kind under ATLAS's own column names (`custom_data.columns.SFT_COLUMNS`).

    Raises:
        ConfigurationError: when one of the four columns cannot be found.
    """
    columns = resolve_columns(dataset.column_names, SFT_COLUMNS, column_map)
    chosen = dataset.select_columns([columns[name] for name in SFT_COLUMNS])
    return chosen.rename_columns({columns[name]: name for name in SFT_COLUMNS if columns[name] != name})
