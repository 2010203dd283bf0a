"""Hydra's own ways of showing a composition: `--cfg job`, `--info`, `--help`."""

from __future__ import annotations

import sys

import hydra
from hydra.core.global_hydra import GlobalHydra

from trainers.configuration.cli.command_line import CONFIGS, CommandLine
from trainers.configuration.composition.compose import raw, register_schemas
from trainers.problems import ConfigurationError, Problem

HELP = {"--help", "-h", "--hydra-help", "--version", "--shell-completion", "-sc"}
SHOWING = {"--cfg", "-c", "--info", "-i"}


def show(line: CommandLine) -> int:
    """Lets Hydra print what its flags ask for, after the keys were checked; nothing runs.

    Raises:
        ConfigurationError: for unknown keys, and for flags of Hydra that would run something another way.
    """
    names = {flag.partition("=")[0] for flag in line.flags if flag.startswith("-")}
    if not names & (SHOWING | HELP):
        remedy = "give one command for each run; --cfg job prints a composition, --help explains"
        raise ConfigurationError([Problem(" ".join(line.flags), "one run per command", remedy), *line.problems])
    if not names & HELP:
        problems = raw(line)[1]
        if problems:
            raise ConfigurationError(problems)
    register_schemas()
    GlobalHydra.instance().clear()
    sys.argv[1:] = [*line.flags, *line.for_hydra()]
    directory = str(line.config_path or CONFIGS)
    hydra.main(config_path=directory, config_name=line.config_name, version_base="1.3")(_nothing)()
    return 0


def _nothing(_: object) -> None:
    """Hydra asks for a task, and does not call it when it only shows."""
