"""An evaluation starts, continues or is complete: a comparison of configurations, models and data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from trainers.configuration.devices.placement import teacher_entries
from trainers.configuration.settings.experiments import EvaluationExperiment
from trainers.configuration.settings.key import EvaluationResume, Resume
from trainers.configuration.settings.keys import holds, keys_in, names_where
from trainers.configuration.settings.models.api_teacher import ApiTeacherSettings
from trainers.configuration.settings.student_tables import shaping_values
from trainers.configuration.settings.students import Member, all_members
from trainers.teaching.lesson import THE_STUDENT

MODELS = "models.json"
OUTPUT = ("student_alone.jsonl", "lessons.jsonl", "summary.json")
TRIED = "tried.jsonl"
"""The lessons of a search for prompts."""
STUDENT, DATASET = "student", "dataset"
_MODEL_SUFFIXES = {".safetensors", ".bin", ".json", ".jinja", ".model"}
_RECORDS = {"finished.json", "servers.json", "trainer_state.json"}
_OF_HOSTS = "servers-"
_EDGE = 2**20

Action = Literal["start", "continue", "complete", "set_aside"]


def has_evaluation(output_dir: Path) -> bool:
    """Return whether a directory holds anything of an evaluation that is worth keeping."""
    return any((output_dir / name).exists() for name in OUTPUT)


def has_search(output_dir: Path) -> bool:
    """Return whether a directory holds lessons of a search for prompts."""
    return (output_dir / TRIED).exists()


def evaluation_action(
    config: EvaluationExperiment,
    earlier: Mapping[str, Any] | None,
    differing: Sequence[str],
    recorded: Mapping[str, str] | None,
    found: Mapping[str, str],
    finished: bool,
) -> tuple[Action, str]:
    """Decide what to do with the output of an earlier evaluation, and say why.

    Args:
        config: the evaluation that is asked for.
        earlier: the configuration of the earlier one.
        differing: the keys in which they differ and must not, as `key: old → new`.
        recorded: the fingerprints of its models and data.
        found: their fingerprints now.
        finished: whether it reached its end.
    """
    if earlier is None or recorded is None:
        return "set_aside", "it holds an evaluation of which too little is known to continue it"
    if differing:
        return "set_aside", "it holds another evaluation, which differs in " + "; ".join(differing)
    changed = [name for name in (STUDENT, DATASET) if name in found and recorded.get(name, found[name]) != found[name]]
    if changed:
        return "set_aside", f"since the evaluation that it holds the {' and the '.join(changed)} changed"
    same_models = all(recorded.get(name) == fingerprint for name, fingerprint in found.items())
    if finished and same_models and _same_parts(earlier, config):
        return "complete", "this evaluation is complete"
    return "continue", "continues the evaluation that it holds"


def _same_parts(earlier: Mapping[str, Any], config: EvaluationExperiment) -> bool:
    """Return whether nothing differs of what may: a finished evaluation is summed up anew where it does."""
    flat = config.flat()
    return all(earlier.get(key) == flat[key] for key in flat.keys() & names_where(parts=EvaluationResume.FREE))


def fingerprints(config: EvaluationExperiment) -> dict[str, str]:
    """Return what tells models and data from others of the same name: `student NAME`, `dataset` and `teacher NAME`.

    A student that has no name is `student`; its settings are keys of their own.
    """
    found = {student_record(member.name): _student_fingerprint(member) for member in all_members(config)}
    found[DATASET] = fingerprint(config.data.dataset_id_or_path, _all_files)
    entries = teacher_entries(config)
    return found | {f"teacher {name}": _teacher_fingerprint(entry) for name, entry in entries.items()}


def student_record(name: str) -> str:
    """Return the name that a student has among the fingerprints."""
    return STUDENT if name == THE_STUDENT else f"{STUDENT} {name}"


def _student_fingerprint(member: Member) -> str:
    """Return the fingerprint of a model's files and, in a table of students, the settings its answers depend on."""
    model = fingerprint(str(member.config.student.model), _model_files)
    return model if member.pool is None else json.dumps(shaping_values(member) | {"files": model}, sort_keys=True)


def _teacher_fingerprint(entry: Any) -> str:
    """Return the fingerprint of a model's files, or, of an API's table, the settings that its answers depend on."""
    if not isinstance(entry, Mapping):
        return fingerprint(str(entry), _model_files)
    keys = keys_in(ApiTeacherSettings)
    shaping = {name: value for name, value in entry.items() if holds(keys[name], resume=Resume.SHAPES)}
    return json.dumps(shaping, sort_keys=True)


def fingerprint(name: str, files_of: Callable[[Path], list[Path]]) -> str:
    """Return a digest of a file, or of the files in a directory that count; the name itself of what is no path.

    Of large files the size and a mebibyte at either end count: training changes all layers.
    """
    path = Path(name).expanduser()
    if not path.exists():
        return name
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else files_of(path):
        digest.update(f"{file.relative_to(path.parent)} {file.stat().st_size}\n".encode())
        with file.open("rb") as content:
            digest.update(content.read(_EDGE))
            content.seek(-min(_EDGE, file.stat().st_size), 2)
            digest.update(content.read())
    return digest.hexdigest()


def _all_files(directory: Path) -> list[Path]:
    return sorted(file for file in directory.rglob("*") if file.is_file())


def _model_files(directory: Path) -> list[Path]:
    """Return weights, configuration and tokenizer; a run writes its own records beside them."""
    found = (file for file in directory.iterdir() if file.is_file() and file.suffix in _MODEL_SUFFIXES)
    return sorted(file for file in found if file.name not in _RECORDS and not file.name.startswith(_OF_HOSTS))


def read_models(output_dir: Path) -> dict[str, str] | None:
    """Return the fingerprints that an earlier part of an evaluation recorded; `None` when there are none."""
    path = output_dir / MODELS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def write_models(output_dir: Path, found: Mapping[str, str]) -> None:
    """Record fingerprints."""
    (output_dir / MODELS).write_text(json.dumps(dict(found), indent=2) + "\n", encoding="utf-8")
