"""The tests of a row, and the names that they need from an answer."""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trainers.teaching.verifiers.code.stated_cases import StatedCases, read_cases

_CLASS = "Solution"
_BUILTINS = frozenset(dir(builtins)) | {"__name__"}


@dataclass(frozen=True)
class RowTests:
    """Programs of the row's author: `setup` runs before the answer's `names` are there, `program` after.

    Where the row has `cases`, these are its tests, and both programs are empty.
    """

    setup: str
    program: str
    names: tuple[str, ...]
    cases: StatedCases | None = None

    @property
    def runs_programs(self) -> bool:
        """True where an answer is a program that reads and prints, instead of names that tests use."""
        return self.cases is not None and self.cases.function is None


def read_tests(extra: Mapping[str, Any]) -> RowTests | None:
    """Read the tests of a row; `None`: the row has none.

    Rows are read as HumanEval (`prompt`, `test` with `check`, `entry_point`), as MBPP (`test_list`,
    `test_setup_code`, `test_imports`), as `tests`, a program or a list of statements, or as pairs of input and output
    (`read_cases`). What the tests use is taken
    from the row's own prompt and setup where these define it (a helper, an import), from the standard library where it
    is a module, and only else from the answer.

    Raises:
        SyntaxError: when the tests are no Python.
        ValueError: when they are pairs that cannot be read.
    """
    if cases := read_cases(extra):
        return RowTests("", "", (cases.function, _CLASS) if cases.function else (), cases)
    tests = extra.get("test") or extra.get("tests") or extra.get("test_list")
    if not tests:
        return None
    program = tests if isinstance(tests, str) else "\n".join(tests)
    entry_point = extra.get("entry_point")
    if entry_point and isinstance(tests, str) and re.search(r"^def check\(", tests, re.MULTILINE):
        program += f"\ncheck({entry_point})"
    setup = "\n".join([_definitions(extra.get("prompt")), *(extra.get("test_imports") or ()), _setup(extra)])
    tree = ast.parse(program)
    modules, names = _needed(tree, bound(ast.parse(setup)), entry_point)
    return RowTests("\n".join([setup, *(f"import {module}" for module in modules)]), program, names)


def _setup(extra: Mapping[str, Any]) -> str:
    return extra.get("test_setup_code") or ""


def _definitions(prompt: str | None) -> str:
    """Return a prompt that is Python; another's text defines nothing."""
    try:
        ast.parse(prompt or "")
    except SyntaxError:
        return ""
    return prompt or ""


def _needed(tests: ast.Module, given: frozenset[str], entry_point: str | None) -> tuple[list[str], tuple[str, ...]]:
    """Return the standard modules that tests use without importing them, and the names they need from an answer."""
    used = list(dict.fromkeys(used_names(tests)))
    own = bound(tests) | given
    free = [name for name in used if name not in own and name not in _BUILTINS and name != entry_point]
    called = {
        node.func.id for node in ast.walk(tests) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    modules = [name for name in free if name in sys.stdlib_module_names and name not in called]
    names = [*([entry_point] if entry_point else []), *(name for name in free if name not in modules)]
    if not names:
        # "Write a function sum(a, b)": where the tests use nothing else, a built-in name is the answer's.
        names = [name for name in used if name in _BUILTINS and name in called]
    return modules, tuple(names)


def used_names(tree: ast.AST) -> Iterator[str]:
    """Return the names that a program reads."""
    return (node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))


def bound(tree: ast.AST) -> frozenset[str]:
    """Return the names that a program binds anywhere: assigned, defined, imported, parameters."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
    return frozenset(names)
