"""Checks that the files named by a configuration are there, with the command that makes the missing ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from trainers.configuration.checks.judges.files import missing_judge_files
from trainers.configuration.checks.lora import check_adapters
from trainers.configuration.checks.packages import check_packages, check_search_packages
from trainers.configuration.devices.placement import teachers
from trainers.configuration.settings.experiments import (
    EvaluationExperiment,
    Experiment,
    GRPOExperiment,
    PromptSearchExperiment,
    SFTExperiment,
    StudentExperiment,
    TrainingExperiment,
)
from trainers.configuration.settings.students import all_members
from trainers.hub_ids import DATA_SUFFIXES, is_hub_id, looks_local
from trainers.problems import Problem
from trainers.serving.adapter_files import CONFIG_FILE, read_adapter

MODEL_FILES = ("config.json", CONFIG_FILE)
COMMANDS = {
    "results/pre_rl_model": "scripts/launch.sh 8 configs/run/teacher_sft.yaml",
    "{workspace}/sft": "scripts/launch.sh 1 configs/run/quickstart_sft.yaml",
    "{workspace}/rl": "scripts/launch_with_server.sh 1 1 configs/run/quickstart_rl.yaml",
    "{workspace}/smollm2": "python -m custom_data.smollm2 {workspace}/smollm2",
    "{workspace}/real_sft": "scripts/launch.sh 1 configs/run/quickstart_real_sft.yaml",
    "{workspace}/real_rl": "scripts/launch_with_server.sh 1 1 configs/run/quickstart_real_rl.yaml",
}
"""The commands that make models which recipes begin with, by their paths."""


def missing_paths(config: Experiment) -> Iterator[Problem]:
    """Yield one problem per missing or half-written path, with the command that makes it."""
    for key, path in _models(config):
        if looks_local(path) and not any((Path(path).expanduser() / name).is_file() for name in MODEL_FILES):
            yield _missing(config, key, path, f"a directory with a model ({' or '.join(MODEL_FILES)})")
        elif not looks_local(path) and not is_hub_id(path):
            yield _missing(config, key, path, "a directory that is there, or a model of the hub as owner/name")
    template = config.trainer.chat_template_path if isinstance(config, SFTExperiment) else None
    if template and not Path(template).is_file():
        yield Problem(f"chat_template_path={template}", "there is no such file", "correct the path")
    yield from _output(config)
    if isinstance(config, StudentExperiment):
        yield from missing_judge_files(config)
    if isinstance(config, PromptSearchExperiment):
        yield from check_search_packages(config)
    if isinstance(config, TrainingExperiment):
        yield from check_adapters(config)
        yield from check_packages(config)
    for key, data in _datasets(config):
        if looks_local(data) and not Path(data).expanduser().exists():
            yield _missing(config, key, data, "an existing file or directory")
        elif not looks_local(data) and not is_hub_id(data):
            yield _missing(
                config, key, data, "a file or directory that is there, or a dataset of the hub as owner/name"
            )
        elif Path(data).is_file() and Path(data.lower().removesuffix(".gz")).suffix not in DATA_SUFFIXES:
            listed = ", ".join(sorted(DATA_SUFFIXES))
            remedy = "convert the file, or rename it if its content is one of these"
            yield Problem(f"{key}={data}", f"expected a file that ends in {listed} (or .gz after it)", remedy)
    world = Path(config.output.world)
    used = [path for _, path in _models(config)] + [config.data.dataset_id_or_path]
    if (
        any(Path(path).is_relative_to(world) for path in used)
        and world.is_dir()
        and not (world / "world.json").is_file()
    ):
        yield Problem(f"world={world}", "is not complete: world.json is missing", f"run: {_make_world(world)}")


def _output(config: Experiment) -> Iterator[Problem]:
    path = Path(config.output.output_dir).absolute()
    present = next(parent for parent in (path, *path.parents) if parent.exists())
    given = f"output_dir={config.output.output_dir}"
    if not present.is_dir():
        yield Problem(given, f"{present} is a file, not a directory", "choose another output_dir")
    elif not os.access(present, os.W_OK | os.X_OK):
        remedy = "choose another output_dir, or get the right to write there"
        yield Problem(given, f"{present} may not be written by you", remedy)


def all_local(config: Experiment) -> bool:
    """Return whether every model and dataset of a run is a path, so that nothing needs to be asked of a hub."""
    return all(looks_local(path) for _, path in (*_models(config), *_datasets(config)))


def local_paths(config: Experiment) -> list[str]:
    """Return the paths of all models and datasets of a run that are no names of a hub."""
    return sorted({path for _, path in (*_models(config), *_datasets(config)) if looks_local(path)})


def _datasets(config: Experiment) -> list[tuple[str, str]]:
    held_out = config.data.eval_dataset_id_or_path if isinstance(config, TrainingExperiment) else None
    named = [("dataset_id_or_path", config.data.dataset_id_or_path), ("eval_dataset_id_or_path", held_out)]
    return [(key, path) for key, path in named if path]


def _models(config: Experiment) -> list[tuple[str, str]]:
    named: list[tuple[str, str | None]] = []
    if isinstance(config, StudentExperiment):
        students = [(member.key("model"), member.config.student) for member in all_members(config)]
        named += [(key, student.model) for key, student in students if not (student.base_url or student.agent)]
    if isinstance(config, EvaluationExperiment):
        named += [("teacher", path) for path in teachers(config)]
    if isinstance(config, TrainingExperiment):
        named.append(("model_name_or_path", config.model.model_name_or_path))
    if isinstance(config, GRPOExperiment):
        named.append(("mentor_model", config.mentor.model))
    given = [(key, path) for key, path in named if path]
    adapters = [(key, read_adapter(path)) for key, path in given]
    return given + [(f"base of {key}", adapter.base) for key, adapter in adapters if adapter]


def _missing(config: Experiment, key: str, path: str, expected: str) -> Problem:
    return Problem(f"{key}={path}", f"expected {expected}", _remedy(config, path))


def _remedy(config: Experiment, path: str) -> str:
    world = Path(config.output.world)
    if (
        Path(path).is_relative_to(world)
        and Path(path).name.startswith("calculator")
        and (world / "world.json").is_file()
    ):
        return f"run: python -m custom_data.world.calculator --world {world}"
    if Path(path).is_relative_to(world):
        return f"run: {_make_world(world)}"
    workspace = config.output.workspace
    for made, command in COMMANDS.items():
        if Path(path) == Path(made.format(workspace=workspace)):
            moved = made != path and command.endswith(".yaml") and workspace != "results/quickstart"
            return f"run: {command.format(workspace=workspace)}" + (f" workspace={workspace}" if moved else "")
    return "correct the path, or name a model or dataset of the hub as owner/name"


def _make_world(world: Path) -> str:
    return f"python -m custom_data.world --output {world}"
