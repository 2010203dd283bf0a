"""From arguments to one flat, resolved and checked configuration, without importing torch."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from trainers.configuration.checks.rules import check_batch, validate
from trainers.configuration.checks.student_rules import check_entries
from trainers.configuration.cli.command_line import (
    CONFIGS,
    GROUPS,
    CommandLine,
    is_secret,
    options,
    parse,
    secret_problem,
    suggestion,
    unknown_key,
)
from trainers.configuration.cli.home import expanded
from trainers.configuration.computed_keys import batch_of, derive
from trainers.configuration.devices import machine as machines
from trainers.configuration.devices.machine import Machine
from trainers.configuration.foreign_keys import refusal
from trainers.configuration.settings.checking import check_values
from trainers.configuration.settings.experiments import EXPERIMENTS, Experiment, StudentExperiment, TrainingExperiment
from trainers.configuration.settings.in_words import written
from trainers.configuration.settings.keys import all_keys, keys_of, names_where
from trainers.configuration.settings.students import POOLS
from trainers.output.files import write_whole
from trainers.problems import ConfigurationError, Problem


@dataclass(frozen=True)
class Composition:
    """A configuration that can run, and what composing it changed or would like to be known, one line each."""

    config: Experiment
    notes: tuple[str, ...]


def compose(
    arguments: Sequence[str],
    machine: Machine | None = None,
    processes: int | None = None,
    servers: int | None = None,
) -> Composition:
    """Compose a run from command-line arguments and checks it.

    Args:
        arguments: a recipe (`configs/run/NAME.yaml`, `NAME.yaml` or `NAME`), flag words, and `key=value`.
        machine: where it will run; this machine when left out.
        processes: training processes; `WORLD_SIZE`, or 1, when left out.
        servers: V of the launcher; `num_vllm_servers` when left out.

    Raises:
        ConfigurationError: with every problem found.
    """
    line = parse(arguments)
    config, problems = raw(line)
    if config.get("experiment") not in EXPERIMENTS:
        raise ConfigurationError(problems or [_no_experiment(config)])
    config, notes = expanded(config)
    finished = finish(config, problems, machine, processes, servers)
    return Composition(finished.config, (*line.notes, *notes, *finished.notes))


def finish(
    config: Mapping[str, Any],
    problems: Sequence[Problem] = (),
    machine: Machine | None = None,
    processes: int | None = None,
    servers: int | None = None,
) -> Composition:
    """Check the values of composed flat keys, compute what follows from them, and check what must agree."""
    experiment = config["experiment"]
    wrong = check_values(experiment, config)
    entries = check_entries(config)
    # Of a pool that cannot be read nothing else is said, nor of the student that it would stand for.
    unread = wrong.keys() | ({*POOLS, "student_model"} if entries or wrong.keys() & {*POOLS} else set())
    usable = experiment_of({key: value for key, value in config.items() if key not in unread})
    if servers is not None and isinstance(usable, StudentExperiment):
        usable = usable.with_keys(num_vllm_servers=max(servers, 1))
    processes = processes or int(os.environ.get("WORLD_SIZE", "1"))
    derived, notes = derive(usable, machine or machines.detect(), processes)
    asked: list[Problem] = []
    if isinstance(usable, TrainingExperiment):
        asked = list(check_batch(batch_of(usable.with_keys(processes=processes))))
    crossed = [problem for problem in [*asked, *validate(derived)] if problem.given.partition("=")[0] not in unread]
    found = [*problems, *wrong.values(), *entries, *crossed]
    if found:
        raise ConfigurationError(found)
    return Composition(derived, notes)


def experiment_of(config: Mapping[str, Any]) -> Experiment:
    """Return flat keys as the settings of their experiment; keys that are left out are at their defaults.

    Raises:
        TypeError: for a key that the experiment does not have.
        pydantic.ValidationError: for a value that its key does not take.
    """
    keys = keys_of(config["experiment"])
    if unknown := config.keys() - keys.keys():
        raise TypeError(f"experiment {config['experiment']} has no key {', '.join(sorted(unknown))}")
    # Text that is needed and not there stays empty: the rules tell of it together with everything else.
    absent = {name: "" for name, key in keys.items() if key.facts.required and not key.optional}
    given = {name: value for name, value in config.items() if value is not None or name not in absent}
    defaults = {name: key.default for name, key in keys.items()}
    return EXPERIMENTS[config["experiment"]].from_flat(defaults | absent | given)


def raw(line: CommandLine) -> tuple[dict[str, Any], list[Problem]]:
    """Compose a command line with Hydra: the configuration, interpolations resolved, and the problems of its keys.

    Keys that do not belong are left out of it. It is empty when there is no recipe, or none that can be composed.
    """
    problems = list(line.problems)
    if line.recipe is None and not line.resolved:
        return {}, [*problems, *([] if _names_a_recipe(problems) else [_no_recipe()])]
    try:
        config = _hydra(line)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError, RecursionError) as error:
        return {}, [*problems, _from_hydra(line, error)]
    experiment = config.get("experiment")
    if experiment not in EXPERIMENTS:
        return config, problems
    unnamed = [key for key in config if not isinstance(key, str)]
    lacking = keys_of(experiment).keys() - config.keys() - unwritten()
    if unnamed or lacking:
        wrong = [Problem(f"{key}: {config[key]}", "expected a name before the colon", "correct it") for key in unnamed]
        wrong += [_gone(key, line) for key in config if line.resolved and key not in unnamed and _is_gone(key)]
        return {}, [*problems, *wrong, *([_incomplete(line, experiment, lacking)] if lacking else [])]
    typed = {override.key: f"{override.path}={written(override.value)}" for override in line.overrides}
    strange = {key: _strange_key(key, line, experiment, typed) for key in config}
    found = {key: problem for key, problem in strange.items() if problem is not None}
    shared = {key for key in found if key in all_keys() and key not in typed and key not in _recipe_keys(line)}
    kept = {key: value for key, value in config.items() if key not in found}
    return kept, [*problems, *(problem for key, problem in found.items() if key not in shared)]


@cache
def register_schemas() -> None:
    """Put the defaults of every experiment into Hydra's store, as plain nodes: each field a flat key."""
    store = ConfigStore.instance()
    for experiment in EXPERIMENTS:
        hidden = unwritten()
        defaults = {name: key.default for name, key in keys_of(experiment).items() if name not in hidden}
        store.store(group="schema", name=experiment, node=defaults, package="_global_")


def _hydra(line: CommandLine) -> dict[str, Any]:
    register_schemas()
    GlobalHydra.instance().clear()
    directory = line.config_path or CONFIGS
    with hydra.initialize_config_dir(str(directory), job_name="train", version_base="1.3"):
        composed = hydra.compose(line.config_name, line.for_hydra())
        return OmegaConf.to_container(composed, resolve=True)  # type: ignore[return-value]


def _strange_key(key: str, line: CommandLine, experiment: str, typed: Mapping[str, str]) -> Problem | None:
    if is_secret(key):
        return secret_problem(key)
    if key in keys_of(experiment) and (line.resolved or key not in names_where(computed=True)):
        return None
    if line.resolved and key not in typed and _is_gone(key):
        return _gone(key, line)
    return unknown_key(key, typed.get(key) or f"{key} ({_where(key)})", experiment)


def _is_gone(key: str) -> bool:
    return key not in all_keys()


def _gone(key: str, line: CommandLine) -> Problem:
    """Return the problem with a key of a saved configuration that no experiment has."""
    given = f"{key} in {line.config_path}/{line.config_name}.yaml"
    remedy = "take it out of the file, or start from the recipe again"
    return refusal(key, given) or Problem(
        given, f"there is no key {key}: another version of ATLAS saved this file", remedy
    )


def _recipe_keys(line: CommandLine) -> set[str]:
    """Return the keys a recipe itself sets; groups, shared by experiments, bring keys that not all of them have."""
    directory = line.config_path or (line.search_path or CONFIGS) / "run"
    name = line.config_name if line.resolved else line.recipe
    return set(OmegaConf.load(directory / f"{name}.yaml")) - {"defaults"}


def _where(key: str) -> str:
    files = [path for path in sorted(CONFIGS.rglob("*.yaml")) if f"\n{key}:" in f"\n{path.read_text(encoding='utf-8')}"]
    return ", ".join(str(path.relative_to(CONFIGS.parent)) for path in files) or "in the recipe"


def _from_hydra(line: CommandLine, error: Exception) -> Problem:
    text = "it includes itself" if isinstance(error, RecursionError) else " ".join(str(error).split()).rstrip(".")
    text = text or "a key has no name"
    if line.resolved:
        return Problem(
            str(line.config_path), f"cannot be loaded: {text}", "give --config-path=DIRECTORY --config-name=config"
        )
    remedy = "mend the file or the argument that this names"
    if (absent := re.search(r"Could not load '([\w/]+)/(\w+)'\.?", text)) and absent[1] in GROUPS:
        # What follows is the search path of Hydra, most of which no one has heard of.
        text, remedy = text[: absent.end()].rstrip("."), f"mend the file: {suggestion(absent[2], options(absent[1]))}"
    return Problem(f"recipe {line.recipe}", f"cannot be composed: {text}", remedy)


def _incomplete(line: CommandLine, experiment: str, lacking: Set[str]) -> Problem:
    shown = ", ".join(sorted(lacking)[:3]) + (" …" if len(lacking) > 3 else "")
    given = str(line.config_path) if line.resolved else f"recipe {line.recipe}"
    if line.resolved:
        remedy = "it is of another version of ATLAS: start from the recipe again"
    else:
        remedy = f"put /trainer@_global_: {experiment} first among its defaults, or a recipe of that experiment"
    return Problem(given, f"experiment={experiment} needs the keys {shown}, which it does not have", remedy)


def _names_a_recipe(problems: Sequence[Problem]) -> bool:
    return any("recipe" in problem.expected for problem in problems)


def _no_recipe() -> Problem:
    return Problem(
        "no recipe", "expected one of " + ", ".join(options("run")), "name one: configs/run/quickstart_sft.yaml"
    )


def _no_experiment(config: Mapping[str, Any]) -> Problem:
    expected = f"expected one of {', '.join(EXPERIMENTS)}"
    remedy = "put a recipe such as teacher_sft, or /trainer@_global_: sft, first among the recipe's defaults"
    return Problem(f"experiment={written(config.get('experiment'))}", expected, remedy)


def config_file(output_dir: str | Path) -> Path:
    """Return the file that keeps the resolved configuration of a run."""
    return Path(output_dir) / "config.yaml"


def unwritten() -> frozenset[str]:
    """Return the keys that no recipe states: those that composing computes, and secrets."""
    return names_where(computed=True) | names_where(secret=True)


def save(config: Experiment) -> Path:
    """Write the resolved configuration into its output directory, as flat keys and without secrets."""
    path = config_file(config.output.output_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {key: value for key, value in config.flat().items() if key not in names_where(secret=True)}
    write_whole(path, OmegaConf.to_yaml(OmegaConf.create(kept)))
    return path


def load(output_dir: str | Path) -> dict[str, Any] | None:
    """Return the configuration that an earlier run saved; `None` when there is none that can be read."""
    path = config_file(output_dir)
    if not path.is_file():
        return None
    try:
        found = OmegaConf.to_container(OmegaConf.load(path))
    except (OmegaConfBaseException, YAMLError, ValueError):
        return None
    # An empty file, as a full disk leaves, is no configuration.
    return found if isinstance(found, dict) and found else None  # type: ignore[return-value]
