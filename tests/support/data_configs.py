"""Configurations of runs, as far as their data is concerned, and files to point them at."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trainers.configuration.composition.compose import experiment_of
from trainers.configuration.settings.keys import keys_of

TEMPLATES = {
    "baseline_template": "{question}",
    "probe_template": "{question}",
    "teacher_template": "{question}\n{approach}",
    "taught_template": "{question}\n{teaching}",
}


def run_config(experiment: str, **keys: Any) -> Any:
    """The settings of an experiment at their defaults, with these keys."""
    return experiment_of({"experiment": experiment} | keys)


def data_config(experiment: str, path: Path | str, **keys: Any) -> Any:
    """The settings of an experiment that reads a dataset, with those of these keys that it has."""
    fixed = {"experiment": experiment, "eval_strategy": "no", "dataset_id_or_path": str(path)}
    given = {"output_dir": "results/data"} | fixed | TEMPLATES | keys
    return run_config(**{key: value for key, value in given.items() if key in keys_of(experiment)})


def write_rows(path: Path, rows: Iterable[Any]) -> str:
    """Rows as JSON lines; a row that is text or bytes stands as it is."""
    lines = [
        row if isinstance(row, bytes) else (row if isinstance(row, str) else json.dumps(row)).encode() for row in rows
    ]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return str(path)
