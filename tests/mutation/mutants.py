"""Mutants of core modules by mutmut, in a copy of the repository: which are drawn, and what the tests say to them."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tests.mutation.modules import CoreModule

MUTMUT = (sys.executable, "-c", "from mutmut.__main__ import cli; cli()")
"""Not `python -m mutmut`, which would import that module twice."""
SOURCES = ("trainers", "custom_data")
READ_BY_PEOPLE = (r"^\s*(raise|logger|log|warnings)\b", r"\bProblem\(", r"__doc__")
"""Lines whose words are for people: tests that pin them would only copy them."""
PATIENCE, START_S = 5.0, 3.0
"""A mutant that takes so many times as long as the tests without one, their start included, never ends."""
KILLED = {"killed", "timeout", "segfault"}
"""The words of mutmut for mutants that a test has noticed, or that never come to an end."""
_STATUS = re.compile(r"^\s+(?P<name>\S+): (?P<status>[a-z ]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """The mutants of a module that were drawn, and the lines of those that no test noticed, as a diff shows them."""

    module: str
    drawn: int
    survivors: tuple[str, ...]

    @property
    def killed(self) -> int:
        """Mutants that a test noticed."""
        return self.drawn - len(self.survivors)


def mutate(modules: Sequence[CoreModule], copy: Path, *, seed: int, most: int, jobs: int = 1) -> list[Outcome]:
    """Run the tests of modules on at most `most` mutants of each, drawn by the seed.

    Args:
        modules: what is mutated; a mutant is tried by all their tests that reach it.
        copy: a copy of the repository, which this changes.
        seed: of the draw.
        most: how many are drawn of each.
        jobs: mutants tried at once.

    Raises:
        RuntimeError: when mutmut could not run the tests.
    """
    # Its record of which test runs which function is of the modules before.
    shutil.rmtree(copy / "mutants", ignore_errors=True)
    _configure(modules, copy)
    drawn = {each: draw(_names(each, copy), seed=seed, module=each.source, most=most) for each in modules}
    told = _mutmut(copy, "run", "--max-children", str(jobs), *chain(*drawn.values()))
    found = {match["name"]: match["status"] for match in _STATUS.finditer(_mutmut(copy, "results", "--all", "true"))}
    untried = [name for name in chain(*drawn.values()) if found.get(name) in (None, "not checked")]
    if untried:
        raise RuntimeError(f"mutmut did not try {untried[0]}: {told[-2000:]}")
    return [
        Outcome(each.source, len(names), tuple(_survivor(name, copy) for name in names if found[name] not in KILLED))
        for each, names in drawn.items()
    ]


def draw(names: Sequence[str], *, seed: int, module: str, most: int) -> list[str]:
    """Return at most `most` of the mutants of a module, the same ones for the same seed."""
    return sorted(random.Random(f"{seed}/{module}").sample(sorted(names), min(most, len(names))))


def changed_lines(diff: str) -> str:
    """Return the lines that a diff takes away and puts in, as `before → after`."""
    lines = [line for line in diff.splitlines() if line.startswith(("-", "+")) and not line.startswith(("---", "+++"))]
    taken, put = ([line[1:].strip() for line in lines if line[0] == sign] for sign in "-+")
    return f"{' '.join(taken)} → {' '.join(put)}"


def _survivor(name: str, copy: Path) -> str:
    return changed_lines(_mutmut(copy, "show", name))


def _configure(modules: Sequence[CoreModule], copy: Path) -> None:
    tests = dict.fromkeys(f"tests/{test}" for module in modules for test in module.tests)
    others = [path.name for path in copy.iterdir() if path.name not in (*SOURCES, "tests", "mutants", "setup.cfg")]
    settings = {
        "source_paths": SOURCES,
        "also_copy": others,
        "only_mutate": [module.source for module in modules],
        "do_not_mutate_patterns": READ_BY_PEOPLE,
        "timeout_multiplier": (PATIENCE,),
        "timeout_constant": (START_S,),
        "pytest_add_cli_args": (
            "-p",
            "no:cacheprovider",
            "-p",
            "tests.mutation.fresh_caches",
            "-m",
            "not slow and not servers",
        ),
        "pytest_add_cli_args_test_selection": [test for test in tests if (copy / test).exists()],
    }
    text = "".join(f"{key} =\n" + "".join(f"    {value}\n" for value in values) for key, values in settings.items())
    # pyproject.toml of the repository says nothing of mutmut, which then reads this.
    (copy / "setup.cfg").write_text(f"[mutmut]\n{text}", encoding="utf-8")


def _names(module: CoreModule, copy: Path) -> list[str]:
    from mutmut.configuration import reset_config
    from mutmut.mutation.file_mutation import mutate_file_contents
    from mutmut.utils.format_utils import get_mutant_name

    reset_config()
    with chdir(copy):
        mutated = mutate_file_contents(module.source, (copy / module.source).read_text(encoding="utf-8"))
        return [get_mutant_name(Path(module.source), name) for name in mutated.mutant_names]


def _mutmut(copy: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(copy), *_elsewhere()]), "CI": "true"}
    done = subprocess.run([*MUTMUT, *arguments], cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"mutmut {arguments[0]}: {(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def _elsewhere() -> list[str]:
    """Return the entries of PYTHONPATH that hold none of our packages, which would be tested unmutated."""
    entries = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return [entry for entry in entries if not (Path(entry) / SOURCES[0]).is_dir()]
