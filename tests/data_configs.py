"""Configurations of runs, as far as their data is concerned, and files to point them at."""

import json
from pathlib import Path

from trainers.configuration.fields import fields_of

TEMPLATES = {
    "baseline_template": "{question}",
    "probe_template": "{question}",
    "teacher_template": "{question}\n{approach}",
    "taught_template": "{question}\n{teaching}",
}


def data_config(experiment, path, **keys):
    """The defaults of every key, with these."""
    defaults = {name: field.default for name, field in fields_of(experiment).items()}
    fixed = {"experiment": experiment, "eval_strategy": "no", "dataset_id_or_path": str(path)}
    return defaults | fixed | TEMPLATES | keys


def write_rows(path: Path, rows) -> str:
    """Rows as JSON lines; a row that is text or bytes stands as it is."""
    lines = [
        row if isinstance(row, bytes) else (row if isinstance(row, str) else json.dumps(row)).encode() for row in rows
    ]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return str(path)
