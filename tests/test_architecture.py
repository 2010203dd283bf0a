"""Packages import downwards only, never in circles, stay small, and keep private things of libraries in one place."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from trainers.paths import ROOT

LAYERS = (
    # Of no package in particular.
    *("trainers.paths", "trainers.problems", "trainers.dotted_path", "trainers.hub_ids", "trainers.jsonl"),
    *("trainers.confidence_intervals", "trainers.concurrency", "trainers.progress", "trainers.terminal"),
    "trainers.output",
    # What a run is made of.
    *("trainers.serving", "trainers.generation", "trainers.traces", "trainers.teaching", "trainers.configuration"),
    "trainers.plugins",
    *("trainers.distributed", "trainers.training", "trainers.callbacks", "trainers.plotting", "trainers.models"),
    "custom_data",
    # What joins it.
    *("trainers.builders", "trainers.evaluation", "trainers.service", "trainers.grpo", "trainers.watching"),
    "trainers.prompt_search",
    *("trainers.sft", "trainers.teacher_grpo", "trainers.launch", "train"),
)
"""Parts of the program, lowest first: each imports only from those before it (docs/architecture/overview.md)."""

LARGEST_PACKAGE = 12

LIGHT = (
    *("trainers.generation.types", "trainers.generation.functions", "trainers.generation.token_estimates"),
    *("trainers.generation.control_spellings", "trainers.generation.reasoning", "trainers.generation.agents.acting"),
    "trainers.generation.agents.transcript",
)
"""Modules of `generation` that load no HTTP client, no torch and no tokenizer."""

HEAVY = {"accelerate", "aiohttp", "datasets", "httpx", "openai", "torch", "transformers", "trl", "vllm"}


@cache
def modules() -> dict[str, Path]:
    """Files of the program, by the dotted names of their modules."""
    files = [ROOT / "train.py", *(ROOT / "trainers").rglob("*.py"), *(ROOT / "custom_data").rglob("*.py")]
    named = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in files}
    return {name.removesuffix(".__init__"): file for name, file in named.items()}


@cache
def imports() -> dict[str, frozenset[str]]:
    """Return what each module imports, wherever in its text: modules of ours, and names of libraries."""
    return {name: frozenset(_imports(file)) for name, file in modules().items()}


def _imports(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules() else node.module for name in names}
    return found


def part_of(module: str) -> str:
    """The part of the program that a module belongs to."""
    words = module.split(".")
    return ".".join(words[:2]) if words[0] == "trainers" else words[0]


def ours(module: str) -> set[str]:
    return {name for name in imports()[module] if name in modules()}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of a graph, or nothing."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        found = next(filter(None, (visit(other, [*path, node]) for other in sorted(graph.get(node, ())))), [])
        done.add(node)
        return found

    return next(filter(None, (visit(node, []) for node in sorted(graph))), [])


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_every_part_has_a_layer():
    parts = {part_of(module) for module in modules()} - {"trainers"}
    assert parts <= set(LAYERS), f"say in LAYERS how high {sorted(parts - set(LAYERS))} stand"


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_point_down(module: str):
    height = {part: level for level, part in enumerate(LAYERS)}
    if part_of(module) not in height:  # the package itself
        assert ours(module) == set()
        return
    upwards = [name for name in ours(module) if height[part_of(name)] > height[part_of(module)]]
    assert upwards == []


def packages() -> list[str]:
    return sorted({name.rpartition(".")[0] for name in modules()} - {""})


@pytest.mark.parametrize("package", packages())
def test_the_members_of_a_package_import_in_one_direction(package: str):
    """Modules and packages in it, taken as wholes; what its `__init__` gives to others is theirs, not its own."""

    def member(name: str) -> str | None:
        rest = name.removeprefix(f"{package}.")
        return None if rest == name else rest.partition(".")[0]

    graph: dict[str, set[str]] = {}
    for module in modules():
        if (own := member(module)) is not None:
            graph.setdefault(own, set()).update({other for name in ours(module) if (other := member(name))} - {own})
    assert circle(graph) == []


@pytest.mark.parametrize("package", packages())
def test_packages_are_small(package: str):
    count = Counter(file.parent for file in modules().values())
    assert count[ROOT / package.replace(".", "/")] <= LARGEST_PACKAGE


def test_benchmarks_are_in_small_folders():
    count = Counter(file.parent for file in (ROOT / "scripts").rglob("*.py"))
    assert max(count.values()) <= LARGEST_PACKAGE


def test_teaching_knows_no_http_no_ranks_and_no_trl():
    for module in filter(lambda name: part_of(name) == "trainers.teaching", modules()):
        libraries = {name.partition(".")[0] for name in imports()[module]}
        assert libraries & HEAVY == set(), module
        asked = {name for name in ours(module) if part_of(name) == "trainers.generation"}
        assert asked <= set(LIGHT), module


def test_what_teaching_needs_of_generation_is_light():
    for module in LIGHT:
        assert {name.partition(".")[0] for name in imports()[module]} & HEAVY == set(), module
        assert {name for name in ours(module) if part_of(name) == "trainers.generation"} <= set(LIGHT), module


def test_what_trl_does_not_promise_is_used_in_one_package():
    private = {module for module in modules() if any(name.startswith("trl.") for name in imports()[module])}
    assert private
    assert {module.rpartition(".")[0] for module in private} == {"trainers.grpo.trl"}


def test_no_two_public_classes_have_one_name():
    named: dict[str, list[str]] = {}
    for module, file in modules().items():
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                named.setdefault(node.name, []).append(module)
    assert {name: where for name, where in named.items() if len(where) > 1} == {}
