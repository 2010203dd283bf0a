"""`python cloud_schemas.py`: print what SkyPilot's own schemas and JobSet's own types find wrong with files for them.

It reads from standard input `{"skypilot": […], "jobset": […]}`, and runs in an environment that has their packages.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

PACKAGES = ("skypilot==0.14.1", "jsonschema==4.26.0", "kubeflow-trainer-api==2.3.0")


def main() -> None:
    """Print the faults of each file as JSON, in the order in which they came."""
    given = json.load(sys.stdin)
    # SkyPilot makes itself at home when it is imported.
    os.environ["HOME"] = tempfile.mkdtemp()
    found = {"skypilot": _by_skypilot(given["skypilot"]), "jobset": _by_jobset(given["jobset"])}
    sys.stdout.write(json.dumps({kind: list(each) for kind, each in found.items()}))


def _by_skypilot(tasks: Iterable[Mapping[str, Any]]) -> Iterator[list[str]]:
    schemas, schema = importlib.import_module("sky.utils.schemas"), importlib.import_module("jsonschema")
    for task in tasks:
        parts = ((task, schemas.get_task_schema()), (task["resources"], schemas.get_resources_schema()))
        yield [error.message for part, of in parts for error in schema.Draft202012Validator(of).iter_errors(part)]


def _by_jobset(jobs: Iterable[Mapping[str, Any]]) -> Iterator[list[str]]:
    models = importlib.import_module("kubeflow_trainer_api.models")
    for job in jobs:
        # What the types do not know, they leave out.
        yield list(lost(job, models.JobsetV1alpha2JobSet.from_dict(job).to_dict()))


def lost(wanted: Any, read: Any, path: str = "") -> Iterator[str]:
    """Yield what is not found again, with its path."""
    if isinstance(wanted, dict) and isinstance(read, dict):
        for key, value in wanted.items():
            yield from lost(value, read.get(key), f"{path}.{key}")
    elif isinstance(wanted, list) and isinstance(read, list) and len(wanted) == len(read):
        for index, (value, other) in enumerate(zip(wanted, read, strict=True)):
            yield from lost(value, other, f"{path}[{index}]")
    elif wanted != read:
        yield f"{path}: {wanted!r} became {read!r}"


if __name__ == "__main__":
    main()
