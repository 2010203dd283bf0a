"""The rows of a run: where they are and how they are read."""

from __future__ import annotations

from typing import Any, Literal

from trainers.configuration.settings.key import Number, Settings, key


class DataSettings(Settings):
    """A dataset, and the way that its rows are read."""

    dataset_id_or_path: str = key(
        None, "Hub id, directory or file of the training rows.", reported=True, required=True, in_card=False
    )
    dataset_config: str | None = key(None, "Configuration name of a hub dataset.", selects_rows=True)
    dataset_files: str | None = key(None, "File inside a hub dataset, such as training/rl.jsonl.", selects_rows=True)
    dataset_split: str = key("train", "Split to read, or a part of one: train[:10%].")
    dataset_level_filter: str | int | None = key(
        None,
        "Level to read: the configuration of that name, else the rows with this value in their level column.",
        selects_rows=True,
    )
    dataset_max_samples: int | None = key(None, "Read at most so many rows.", ge=1)
    column_map: dict[Any, Any] | None = key(None, "Our column names → the dataset's, e.g. {question: prompt}.")
    row_reader: str | None = key(None, "Dotted path of a function from a row to one with our names.")
    row_reader_args: dict[Any, Any] | None = key(None, "Settings of the row reader, by the names of its parameters.")
    traces: bool = key(
        False,
        "Read dataset_id_or_path as traces of a teacher in use: a directory that the service records to, or a file "
        "that atlas-sdk has exported. Its splits are train, heldout and all.",
        selects_rows=True,
    )
    trace_min_score: Number | None = key(
        None, "Read only lessons that have this score or a higher one.", ge=0, le=1, needs="traces", selects_rows=True
    )
    trace_approved: bool = key(
        False, "Read only lessons that somebody approved, or gave a score of 0.5 or more.", needs="traces"
    )
    trace_students: list[str] | None = key(
        None, "Read only lessons of these students, by name.", needs="traces", selects_rows=True
    )
    trace_heldout_share: Number = key(
        0.1,
        "Share of the conversations held out: which ones does not change when others come.",
        ge=0,
        lt=1,
        needs="traces",
    )
    max_bad_row_ratio: Number = key(
        0.01, "Share of bad rows above which a dataset is refused; up to it they are dropped and counted.", ge=0, le=1
    )
    shuffle_choices: bool = key(
        False, "Ask the choices of a question in an order drawn by seed, instead of the dataset's own."
    )
    overlong_prompts: Literal["drop", "error"] = key(
        "drop", "Rows that do not fit into the contexts: drop and count them, or stop with an error."
    )
    max_overlong_ratio: Number = key(
        0.1, "Share of rows too long for the contexts above which a run is refused; up to it they go.", ge=0, le=1
    )


class TrainingDataSettings(DataSettings):
    """A dataset to train on, and the rows held out of it."""

    eval_dataset_id_or_path: str | None = key(None, "Evaluation rows; null splits them off the training rows.")
    eval_dataset_split: str | None = key(None, "Split of the evaluation rows; null: dataset_split.")
    eval_split_ratio: Number = key(0.1, "Share of the rows held out when there is no evaluation dataset.", ge=0, lt=1)
