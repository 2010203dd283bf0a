"""The end of a search: all templates that were kept with their rewards, and the best as a recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from trainers.output.files import write_whole

RECIPE = "run/prompts.yaml"


@dataclass(frozen=True)
class Kept:
    """Templates that were kept: their mean reward on the validation questions, and whose successor they are."""

    templates: Mapping[str, str]
    reward: float
    parent: int | None


@dataclass(frozen=True)
class Found:
    """All that a search has found.

    Args:
        kept: all templates that were kept, those that it began with first.
        lessons: lessons that were held.
        unscored: outcomes that no model or verifier could be had for; they have no weight.
    """

    kept: Sequence[Kept]
    lessons: int
    unscored: int

    @property
    def best(self) -> Kept:
        """The templates of the highest reward, the earliest of several."""
        return max(self.kept, key=lambda kept: kept.reward)


def write_found(output: Path, found: Found) -> None:
    """Write `search.json`, `summary.md`, and the best templates as a recipe that evaluations can name."""
    record: dict[str, Any] = {**asdict(found), "best": asdict(found.best)}
    write_whole(output / "search.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    write_whole(output / "summary.md", markdown(found))
    (output / RECIPE).parent.mkdir(exist_ok=True)
    write_whole(output / RECIPE, recipe(found.best.templates))


def recipe(templates: Mapping[str, str]) -> str:
    """Return the recipe of an evaluation with these templates."""
    head = "# The best templates of a search for prompts, for evaluations; other recipes take the same keys.\n"
    return head + yaml.safe_dump(
        {"defaults": ["evaluate", "_self_"], **templates}, sort_keys=False, allow_unicode=True, width=120
    )


def markdown(found: Found) -> str:
    """Return the table of all templates that were kept, and the best in full."""
    lines = [
        "# Search for prompts",
        "",
        f"{found.lessons:,} lessons were held; {found.unscored:,} questions could not be scored and have no weight.",
        "",
        "| templates | successor of | mean reward on the validation questions |",
        "| --- | --- | --- |",
    ]
    for number, kept in enumerate(found.kept):
        parent = "" if kept.parent is None else str(kept.parent)
        lines.append(f"| {number}{' (best)' if kept is found.best else ''} | {parent} | {kept.reward:.3f} |")
    for name, text in found.best.templates.items():
        lines += ["", f"## {name}", "", "```text", text, "```"]
    return "\n".join(lines) + "\n"
