"""The rows of a run: read, checked, and parted into training and evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from custom_data import heldout, tables
from custom_data.datasets_info import dataset_settings
from custom_data.rows import ExampleFormat, Format, QuestionFormat
from custom_data.sources import DataSource
from custom_data.tables import Table
from trainers import plugins
from trainers.configuration import pick
from trainers.configuration.fields import EVALUATION, SFT
from trainers.configuration.problems import ConfigurationError, Problem


@dataclass(frozen=True)
class Parts:
    """The rows of a run, in parts; `held_out` counts training rows left out because their question is held out."""

    training: Table | None
    evaluation: Table | None
    held_out: int = 0


def load(config: Mapping[str, Any]) -> Parts:
    """Read the rows of a run; no question of the evaluation part stands in the training part.

    The evaluation rows are those of `eval_dataset_id_or_path`; or else a seeded share of the training rows, if the run
    evaluates at all. An evaluation only has the latter part.

    Raises:
        ConfigurationError: a source cannot be read, too many of its rows are bad, or nothing is left to train on.
    """
    source = DataSource(**pick(DataSource, config))
    table = read_source(config, source)
    if config["experiment"] == EVALUATION:
        return Parts(None, table)
    if config["eval_dataset_id_or_path"] is not None:
        evaluation = read_source(config, evaluation_source(config, source))
        apart = _apart(table, np.isin(table.question_keys, evaluation.question_keys))
        wanted = evaluation if config["eval_strategy"] != "no" else None
        return Parts(apart, wanted, held_out=len(table) - len(apart))
    if config["eval_strategy"] == "no":
        return Parts(table, None)
    chosen = heldout.split(table.question_keys, config["eval_split_ratio"], config["seed"])
    return Parts(_apart(table, chosen), table.taking(table.rows[chosen]))


def evaluation_source(config: Mapping[str, Any], training: DataSource) -> DataSource:
    """Where the evaluation rows are: what says how to read a dataset holds for both only if it is the same dataset."""
    name = config["eval_dataset_id_or_path"]
    split = config["eval_dataset_split"] or training.dataset_split
    source = replace(training, dataset_id_or_path=name, dataset_split=split, dataset_max_samples=None, prefix="eval_")
    if name == training.dataset_id_or_path:
        return source
    known = dataset_settings(name, config["experiment"])
    return replace(
        source,
        dataset_config=known.get("dataset_config"),
        dataset_files=known.get("dataset_files"),
        dataset_level_filter=known.get("dataset_level_filter"),
    )


def read_source(config: Mapping[str, Any], source: DataSource) -> Table:
    """The usable rows of one source, in the format that the experiment reads.

    Raises:
        ConfigurationError: see `load`.
    """
    rows = source.open()
    if config["row_reader"]:
        settings = json.dumps(config["row_reader_args"] or {}, sort_keys=True, default=str)
        rows = replace(rows, row_reader=plugins.build(plugins.ROW_READER, config), reader_settings=settings)
    return tables.read(rows, _format(config, rows.columns()), config["max_bad_row_ratio"])


def _format(config: Mapping[str, Any], found: Sequence[str]) -> Format:
    """Without columns there is no row to read, and the bad rows say why."""
    if config["experiment"] == SFT:
        return ExampleFormat.find(found, config["column_map"]) if found else ExampleFormat({})
    if not found:
        return QuestionFormat({})
    return QuestionFormat.find(found, config["column_map"], config["verifier"])


def _apart(table: Table, held_out: np.ndarray) -> Table:
    rows = table.rows[~held_out]
    if not len(rows):
        given = f"{table.reading.source}: all {len(table):,} questions are held out for evaluation"
        remedy = "evaluate on other questions: eval_dataset_id_or_path=…, or lower eval_split_ratio"
        raise ConfigurationError([Problem(given, "expected some to train on", remedy)])
    return table.taking(rows)
