"""Hydra's own ways of showing a composition: `--cfg job`, `--info`, `--help`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence

import hydra
from hydra.core.global_hydra import GlobalHydra

from trainers.configuration.cli.command_line import CONFIGS, FLAGS_WITH_CHOICES, CommandLine
from trainers.configuration.cli.hydra_flags import INSTEAD, SHOWING
from trainers.configuration.composition.compose import raw, register_schemas
from trainers.problems import ConfigurationError, Problem

HELP = {"--help", "-h", "--hydra-help", "--version"}
WITH_SHOWING = {"--resolve", "--package", "-p"}


def show(line: CommandLine) -> int:
    """Lets Hydra print what its flags ask for, after the keys were checked; nothing runs.

    Raises:
        ConfigurationError: for unknown keys, and for flags of Hydra that would run something another way.
    """
    names = [flag.partition("=")[0] for flag in line.flags if flag.startswith("-")]
    # What follows a flag that is refused was meant for it, and is no mistake of its own.
    problems = list(_refused(line, names)) or list(line.problems)
    if problems:
        raise ConfigurationError(problems)
    if not set(names) & HELP:
        problems = raw(line)[1]
        if problems:
            raise ConfigurationError(problems)
    # Hydra logs what --info shows, to standard output and by a handler of its own: beside ours it would be there twice.
    logging.getLogger().handlers.clear()
    register_schemas()
    GlobalHydra.instance().clear()
    sys.argv[1:] = [*line.flags, *line.for_hydra()]
    directory = str(line.config_path or CONFIGS)
    hydra.main(config_path=directory, config_name=line.config_name, version_base="1.3")(_nothing)()
    return 0


def _refused(line: CommandLine, names: Sequence[str]) -> Iterator[Problem]:
    """Yield the flags that print nothing, each with what to do instead."""
    for name in names:
        if name in INSTEAD:
            yield Problem(name, *INSTEAD[name])
        elif name in FLAGS_WITH_CHOICES:
            yield from _unchosen(line, name)
        elif name not in SHOWING | HELP | WITH_SHOWING:
            yield Problem(name, "there is no such flag", "keys are written without dashes; --help lists the flags")
    if set(names) <= WITH_SHOWING:
        yield Problem(" ".join(names), "belongs to --cfg", "write --cfg job --resolve")


def _unchosen(line: CommandLine, name: str) -> Iterator[Problem]:
    """Yield the problem with `--cfg` or `--info` that says not, or wrongly, of what."""
    choices = FLAGS_WITH_CHOICES[name]
    given = next(flag for flag in line.flags if flag.partition("=")[0] == name)
    inline, after = given.partition("=")[2], line.flags[line.flags.index(given) + 1 :]
    if inline not in choices and not (after and not inline and after[0] in choices):
        yield Problem(given, f"expected one of {', '.join(choices)} after it", f"write {name} {choices[0]}")


def _nothing(_: object) -> None:
    """Hydra asks for a task, and does not call it when it only shows."""
