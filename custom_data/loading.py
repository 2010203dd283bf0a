"""The rows of a run: read, checked, and parted into training and evaluation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from custom_data.rows import heldout
from custom_data.rows.formats import ExampleFormat, Format, QuestionFormat
from custom_data.sources.data_source import DataSource, Rows
from custom_data.sources.traces import TraceChoice
from custom_data.tables import arrow_tables
from custom_data.tables.arrow_tables import Table
from trainers import plugins
from trainers.configuration.datasets.known_datasets import dataset_settings
from trainers.configuration.settings.experiments import Experiment, SFTExperiment, StudentExperiment, TrainingExperiment
from trainers.configuration.settings.runs.data import DataSettings
from trainers.problems import ConfigurationError, Problem


@dataclass(frozen=True)
class Parts:
    """The rows of a run, in parts; `held_out` counts training rows left out because their question is held out."""

    training: Table | None
    evaluation: Table | None
    held_out: int = 0


def load(config: Experiment) -> Parts:
    """Read the rows of a run; no question of the evaluation part stands in the training part.

    The evaluation rows are those of `eval_dataset_id_or_path`; or else a seeded share of the training rows, if the run
    evaluates at all. An evaluation only has the latter part.

    Raises:
        ConfigurationError: a source cannot be read, too many of its rows are bad, or nothing is left to train on.
    """
    source = source_of(config)
    table = read_source(config, source)
    if not isinstance(config, TrainingExperiment):
        return Parts(None, table)
    other = evaluation_source(config, source)
    if other is not None:
        evaluation = read_source(config, other)
        apart = _apart(table, np.isin(table.question_keys, evaluation.question_keys))
        wanted = evaluation if config.trainer.eval_strategy != "no" else None
        return Parts(apart, wanted, held_out=len(table) - len(apart))
    if config.trainer.eval_strategy == "no":
        return Parts(table, None)
    chosen = heldout.split(table.question_keys, config.data.eval_split_ratio, config.output.seed)
    return Parts(_apart(table, chosen), table.taking(table.rows[chosen]))


def source_of(config: Experiment) -> DataSource:
    """Return where the rows are that `dataset_id_or_path` names."""
    data = config.data
    return DataSource(
        dataset_id_or_path=data.dataset_id_or_path,
        dataset_config=data.dataset_config,
        dataset_files=data.dataset_files,
        dataset_split=data.dataset_split,
        dataset_level_filter=data.dataset_level_filter,
        dataset_max_samples=data.dataset_max_samples,
        column_map=data.column_map,
        traces=_trace_choice(data, examples=isinstance(config, SFTExperiment)),
    )


def _trace_choice(data: DataSettings, *, examples: bool) -> TraceChoice | None:
    if not data.traces:
        return None
    return TraceChoice(
        examples=examples,
        min_score=data.trace_min_score,
        approved=data.trace_approved,
        students=tuple(data.trace_students or ()),
        heldout_share=data.trace_heldout_share,
    )


def evaluation_source(config: TrainingExperiment, training: DataSource) -> DataSource | None:
    """Return where the rows of `eval_dataset_id_or_path` are; `None` when it names none.

    What says how to read a dataset holds for both only if it is the same dataset.
    """
    name = config.data.eval_dataset_id_or_path
    if name is None:
        return None
    split = config.data.eval_dataset_split or training.dataset_split
    source = replace(training, dataset_id_or_path=name, dataset_split=split, dataset_max_samples=None, prefix="eval_")
    if name == training.dataset_id_or_path:
        return source
    known = dataset_settings(name, config.output.experiment)
    return replace(
        source,
        dataset_config=known.get("dataset_config"),
        dataset_files=known.get("dataset_files"),
        dataset_level_filter=known.get("dataset_level_filter"),
        traces=None,
    )


def read_source(config: Experiment, source: DataSource) -> Table:
    """Read the usable rows of one source, in the format that the experiment takes.

    Raises:
        ConfigurationError: see `load`.
    """
    rows = _rows(config, source)
    return arrow_tables.read(rows, _format(config, source, rows.columns()), config.data.max_bad_row_ratio)


def check_columns(config: Experiment) -> None:
    """Look at the first rows of every source, before anything slower: they must have columns that can be used.

    Raises:
        ConfigurationError: when they have not, or cannot be found.
    """
    source = source_of(config)
    other = evaluation_source(config, source) if isinstance(config, TrainingExperiment) else None
    for each in (source, other):
        if each is not None:
            _format(config, each, _rows(config, each).columns())


def _rows(config: Experiment, source: DataSource) -> Rows:
    rows = source.open()
    if not config.data.row_reader:
        return rows
    settings = json.dumps(config.data.row_reader_args or {}, sort_keys=True, default=str)
    return replace(rows, row_reader=plugins.build(plugins.ROW_READER, config), reader_settings=settings)


def _format(config: Experiment, source: DataSource, found: Sequence[str]) -> Format:
    """Return how the rows of a source, with these columns, are read.

    Raises:
        ConfigurationError: naming the source where it is not the one that `column_map` was probably written for.
    """
    try:
        return _format_of(config, found)
    except ConfigurationError as error:
        if not source.prefix:
            raise
        remedy = f"set {source.prefix}dataset_id_or_path=null, or name questions with the same columns"
        problems = [
            replace(each, given=f"{each.given} of {source.name}", remedy=f"{each.remedy}; {remedy}")
            for each in error.problems
        ]
        raise ConfigurationError(problems) from None


def _format_of(config: Experiment, found: Sequence[str]) -> Format:
    """Return how rows with these columns are read; without columns there is no row, and the bad rows say why."""
    columns = config.data.column_map
    if isinstance(config, StudentExperiment):
        if config.data.traces and found and "ground_truth" not in found:
            _check_judged(config)
        seed = config.output.seed if config.data.shuffle_choices else None
        return QuestionFormat.find(found, columns, config.teaching.verifier, seed) if found else QuestionFormat({})
    return ExampleFormat.find(found, columns) if found else ExampleFormat({})


def _check_judged(config: StudentExperiment) -> None:
    """Refuse a verifier that compares answers, where no lesson has a right one to compare with."""
    if config.teaching.verifier in ("math", "exact"):
        given = f"traces=true verifier={config.teaching.verifier}"
        expected = f"none of the first lessons of {config.data.dataset_id_or_path} has a ground_truth to compare with"
        remedy = "let a judge say how good answers are: verifier=judge (docs/guides/judges.md)"
        raise ConfigurationError([Problem(given, expected, remedy)])


def _apart(table: Table, held_out: np.ndarray) -> Table:
    rows = table.rows[~held_out]
    if not len(rows):
        given = f"{table.reading.source}: all {len(table):,} questions are held out for evaluation"
        remedy = "evaluate on other questions: eval_dataset_id_or_path=…, or lower eval_split_ratio"
        raise ConfigurationError([Problem(given, "expected some to train on", remedy)])
    return table.taking(rows)
