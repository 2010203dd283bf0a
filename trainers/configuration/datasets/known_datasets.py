"""Settings of single datasets: the keys that reading them takes, and system prompts for their students.

A setting holds where its key is null, so that a recipe or a command can say otherwise. Imports nothing heavy: it is
looked up while a run is composed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    # Importing the package composes runs with the help of this module.
    from trainers.configuration.settings.experiments import Experiment

AnyExperiment = TypeVar("AnyExperiment", bound="Experiment")

CODE_SYSTEM_PROMPT = (
    "You write Python. Answer with the whole function, its imports included, in one ```python block inside <solution>."
)

PROGRAM_SYSTEM_PROMPT = (
    "You write Python. Answer with the whole program, its imports included, in one ```python block inside <solution>."
)


@dataclass(frozen=True)
class DatasetInfo:
    """Settings of one dataset, key → value.

    Args:
        settings: for every experiment.
        sft: for SFT.
        questions: for RL and evaluation.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    sft: Mapping[str, Any] = field(default_factory=dict)
    questions: Mapping[str, Any] = field(default_factory=dict)


DATASETS: dict[str, DatasetInfo] = {
    "Arc-Intelligence/Arc-ATLAS-Teach-v0": DatasetInfo(
        sft={"dataset_files": "training/sft.jsonl"}, questions={"dataset_files": "training/rl.jsonl"}
    ),
    "openai/gsm8k": DatasetInfo({"dataset_config": "main"}),
    "allenai/ai2_arc": DatasetInfo({"dataset_config": "ARC-Challenge"}),
    "cais/mmlu": DatasetInfo({"dataset_config": "all"}),
    "Idavidrein/gpqa": DatasetInfo({"dataset_config": "gpqa_diamond"}),
    "google-research-datasets/mbpp": DatasetInfo(
        {"dataset_config": "full"}, questions={"student_system_prompt": CODE_SYSTEM_PROMPT}
    ),
    "codeparrot/apps": DatasetInfo(questions={"student_system_prompt": PROGRAM_SYSTEM_PROMPT}),
    "livecodebench/code_generation_lite": DatasetInfo(questions={"student_system_prompt": PROGRAM_SYSTEM_PROMPT}),
    "openai/openai_humaneval": DatasetInfo(questions={"student_system_prompt": CODE_SYSTEM_PROMPT}),
}
"""By hub id. A local directory of the same name, such as a download of the hub's, has the same settings."""


def dataset_settings(dataset_id_or_path: str | None, experiment: str) -> dict[str, Any]:
    """Return the settings of a dataset for an experiment; none for a dataset that is not known here."""
    if not dataset_id_or_path:
        return {}
    path = Path(dataset_id_or_path).expanduser()
    for name, info in DATASETS.items():
        if dataset_id_or_path == name or (path.is_dir() and path.name == PurePath(name).name):
            settings = {**info.settings, **(info.sft if experiment == "sft" else info.questions)}
            return _of_directory(settings, path) if path.is_dir() else settings
    return {}


def with_dataset_settings(config: AnyExperiment) -> AnyExperiment:
    """Return a configuration in which the settings of its dataset fill the keys that are null."""
    settings = dataset_settings(config.data.dataset_id_or_path, config.output.experiment)
    unset = {key for key, value in config.flat().items() if value is None}
    wanted = {key: value for key, value in settings.items() if key in unset}
    if config.data.dataset_level_filter is not None or config.data.dataset_files is not None:
        wanted.pop("dataset_config", None)
    return config.with_keys(**wanted)


def _of_directory(settings: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Leave out what a directory has no use for: without the hub's card it has no configurations."""
    known = dict(settings)
    if not (path / "README.md").is_file():
        known.pop("dataset_config", None)
    if not (path / str(known.get("dataset_files"))).is_file():
        known.pop("dataset_files", None)
    return known
