"""The data of a run, checked as a whole: what the launcher asks before servers start, and what training then uses."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc
from datasets import Dataset

from custom_data import loading
from custom_data.examples.encoding import ExampleEncoder
from custom_data.examples.roles import check_roles
from custom_data.loading import Parts
from custom_data.rows.bad_rows import Dropped, Reading
from custom_data.rows.formats import FROM_CHAT, FROM_SOLUTION, ORIGIN
from custom_data.tables.arrow_tables import Table
from custom_data.tables.ground_truths import readable_truths, settle_truths
from custom_data.tables.overlong import Fitted, fitting_examples, fitting_questions, settle
from custom_data.tables.questions import Questions
from trainers import plugins
from trainers.builders.contexts import question_needs, rendering_overhead
from trainers.builders.protocol import prompt_templates
from trainers.configuration.settings.experiments import Experiment, SFTExperiment, StudentExperiment
from trainers.configuration.settings.keys import keys_of

UNTAUGHT = {
    FROM_SOLUTION: (
        "have a solution and no teaching. The solution becomes the teaching: the teacher learns to give answers away, "
        "and RL has to unlearn that. Prefer rows with student_approach, teacher_diagnosis and teacher_teaching, or "
        "skip the warm-up"
    ),
    FROM_CHAT: (
        "end in a turn without <teaching>, all of which becomes the teaching. Where such turns answer the question, "
        "the teacher learns to give answers away: write <thinking>…</thinking><teaching>…</teaching>, or prefer rows "
        "with student_approach, teacher_diagnosis and teacher_teaching"
    ),
}
"""Warnings of examples, by where their teaching came from."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartReport:
    """Counts for one part of the data: its source's rows, the rows in use, and those that are left out.

    `overlong` are those dropped as too long, by stage, `unreadable` those whose ground truth the verifier cannot read.
    """

    reading: Reading
    used: int
    overlong: tuple[Dropped, ...] = ()
    unreadable: tuple[Dropped, ...] = ()


@dataclass(frozen=True)
class DataReport:
    """The data that a run will train and be evaluated on, in counts and warnings.

    Args:
        training: of the training rows; `None` for an evaluation.
        evaluation: of the held-out rows; `None` when there are none.
        held_out: training rows left out because their question is in the evaluation dataset.
        warnings: what is worth a second thought before the run starts.
    """

    training: PartReport | None
    evaluation: PartReport | None
    held_out: int = 0
    warnings: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Say it to people, one finding per line."""
        parts = (("training", self.training), ("evaluation", self.evaluation))
        known = [(name, part) for name, part in parts if part is not None]
        readings = dict.fromkeys(part.reading for _, part in known)
        lines = [line for reading in readings for line in reading.lines()]
        if self.held_out:
            lines.append(f"  left out of training: {self.held_out:,} rows whose question is held out for evaluation")
        for name, part in known:
            lines += [f"  left out of {name}: {entry}" for entry in (*part.unreadable, *part.overlong)]
        return [*lines, "in use: " + ", ".join(f"{part.used:,} rows for {name}" for name, part in known)]

    def log(self) -> None:
        """Write it to the log, its warnings as such."""
        for line in self.lines():
            logger.info("%s", line)
        for warning in self.warnings:
            logger.warning("%s", warning)


@dataclass(frozen=True)
class Checked:
    """The parts of a run that are fit for use, with the report on them."""

    training: Table | None
    evaluation: Table | None
    report: DataReport


def check_data(config: Experiment) -> DataReport:
    """Read and check everything that a run will use, with the models' own tokenizers.

    The rows are read once and kept in the cache of `datasets`; a run that follows takes them from there.

    Raises:
        ConfigurationError: when the run must not start.
    """
    return load_checked(config).report


def load_questions(config: StudentExperiment) -> tuple[Questions, Questions]:
    """Load the training and evaluation questions of a run, either of which may be empty; see `check_data`."""
    checked = load_checked(config)
    checked.report.log()
    training, evaluation = (Questions(part or Table.empty()) for part in (checked.training, checked.evaluation))
    return training, evaluation


def load_examples(config: SFTExperiment) -> tuple[Dataset, Dataset | None]:
    """Load SFT examples to train and to be evaluated on, with the columns of `rows.formats.EXAMPLE_FIELDS`."""
    checked = load_checked(config)
    checked.report.log()
    assert checked.training is not None
    return checked.training.dataset(), checked.evaluation and checked.evaluation.dataset()


def load_checked(config: Experiment) -> Checked:
    """Load the data of a run: see `check_data`, and `custom_data.loading.load` for how rows are parted."""
    parts = loading.load(config)
    training, training_report = _part(config, "training", parts.training)
    evaluation, evaluation_report = _part(config, "evaluation", parts.evaluation)
    warnings = [*_unread(parts)]
    if isinstance(config, SFTExperiment) and training is not None:
        warnings += _untaught(training)
    report = DataReport(training_report, evaluation_report, parts.held_out, tuple(warnings))
    return Checked(training, evaluation, report)


def _unread(parts: Parts) -> Iterator[str]:
    """Warn of columns that questions may need, once for every source."""
    readings = dict.fromkeys(part.reading for part in (parts.training, parts.evaluation) if part is not None)
    for reading in readings:
        yield from (f"{reading.source}: {note}" for note in reading.notes)


def _untaught(table: Table) -> Iterator[str]:
    """Warn of examples whose teaching was not written as one: they teach the teacher to give answers away."""
    counted = pc.value_counts(table.data.data.column(ORIGIN).take(table.rows)).to_pylist()
    counts = {entry["values"]: entry["counts"] for entry in counted}
    for origin, said in UNTAUGHT.items():
        if count := counts.get(origin):
            yield f"{table.reading.source}: {count:,} of {len(table):,} examples {said}"


def _part(config: Experiment, name: str, table: Table | None) -> tuple[Table | None, PartReport | None]:
    if table is None:
        return None, None
    unread: tuple[Dropped, ...] = ()
    if isinstance(config, StudentExperiment):
        table, unread = _readable(config, name, table)
        fitted = fitting_questions(table, question_needs(config))
        limits, ways = _budgets(config), "raise the contexts or lower the token budgets"
    elif isinstance(config, SFTExperiment):
        fitted = _fit_examples(config, table)
        limits, ways = f"max_length={config.trainer.max_length}", "raise max_length"
    else:
        raise TypeError(f"{type(config).__name__} says neither how questions nor how examples are used")
    settle(name, fitted, config.data.overlong_prompts, config.data.max_overlong_ratio, limits, ways)
    return fitted.table, PartReport(table.reading, len(fitted.table), fitted.dropped, unread)


def _readable(config: StudentExperiment, name: str, table: Table) -> tuple[Table, tuple[Dropped, ...]]:
    """Leave out what no answer could be judged against, where a verifier can tell."""
    if config.teaching.verifier != "math":
        return table, ()
    verifier = plugins.build(plugins.VERIFIER, config)
    try:
        readable = readable_truths(table, verifier)
    finally:
        verifier.close()
    settle_truths(name, readable, config.teaching.max_unreadable_ratio)
    return readable.table, () if readable.dropped is None else (readable.dropped,)


def _budgets(config: StudentExperiment) -> str:
    """Return the contexts and token budgets that questions have to fit into, as they are typed."""
    keys, values = keys_of(config.output.experiment), config.flat()
    return " ".join(f"{key}={values[key]}" for key in keys if keys[key].facts.fits_prompts and values[key] is not None)


def _fit_examples(config: SFTExperiment, table: Table) -> Fitted:
    # Importing it takes seconds, which runs without SFT need not spend.
    from trainers.models.loading import load_tokenizer

    templates = prompt_templates(config.prompts)
    encoder = ExampleEncoder(load_tokenizer(config), templates, config.teacher.chat_template_kwargs)
    check_roles(table, encoder, config.model.model_name_or_path)

    def count(example: Mapping[str, Any]) -> int:
        return len(encoder.encode(example).input_ids)

    return fitting_examples(table, config.trainer.max_length, _around_texts(encoder), count)


def _around_texts(encoder: ExampleEncoder) -> int | None:
    """Return an upper bound of an example's tokens beyond the bytes of its texts; `None` where none can be given."""
    filled = encoder.templates.teacher("", ".").messages
    overhead = rendering_overhead(encoder.tokenizer, filled, encoder.chat_template_kwargs)
    if overhead is None:
        return None
    return overhead + encoder.framing_bytes + sum(len(message.content.encode()) for message in filled)
