"""Packages that an answer may import: installed here, and asked for by name."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

_IMPORTED = re.compile(r"^[ \t]*(?:import|from)[ \t]+(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Packages:
    """Files and directories by their names in `site-packages`, and the directories that they lie in."""

    paths: dict[str, str] = field(default_factory=dict)
    directories: list[str] = field(default_factory=list)


NO_PACKAGES = Packages()


def find_packages(names: Sequence[str]) -> Packages:
    """Find installed packages and what they need.

    Args:
        names: as `pip install` knows them.

    Raises:
        ValueError: when one of them is not installed.
    """
    paths: dict[str, str] = {}
    directories: dict[str, None] = {}
    for name in _with_requirements(names):
        distribution = metadata.distribution(name)
        for file in distribution.files or ():
            if file.parts[0] not in ("..", "__pycache__"):
                path = Path(str(distribution.locate_file(file.parts[0]))).resolve()
                paths[file.parts[0]] = str(path)
                directories[str(path.parent)] = None
    return Packages(paths, list(directories))


def _with_requirements(names: Sequence[str]) -> list[str]:
    # Only who asks for packages needs it.
    from packaging.requirements import Requirement

    found: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError as error:
            raise ValueError(
                f"verifier_args.packages: {name} is not installed in this environment: install it, or leave it out"
            ) from error
        found[name] = None
        for text in requires:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return list(found)


def missing_packages(code: str, packages: Packages) -> list[str]:
    """Return the modules that a program imports and that are neither in the standard library nor in `packages`."""
    there = sys.stdlib_module_names | {name.removesuffix(".py") for name in packages.paths}
    return [name for name in dict.fromkeys(_IMPORTED.findall(code)) if name not in there]
