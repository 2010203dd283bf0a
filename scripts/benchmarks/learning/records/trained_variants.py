"""Trained variants of a recipe, one by one, as they are recorded: on any machine, and over many days."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.learning.records.seed_tables import ALONE, read_evaluation, read_world
from scripts.benchmarks.tools.arithmetic import ORIGIN
from scripts.benchmarks.tools.measure import provenance

TRAININGS = "ablation-trainings"


@dataclass(frozen=True)
class TrainedVariant:
    """The teacher of one variant and one seed, and its figures.

    Attributes:
        variant: Its name.
        seed: The seed of its world, its warm-up and its training.
        arithmetic: What decides how sums are rounded, such as "2 threads, AVX2".
        world: Version of the embedded world; trainings of different versions are not compared.
        alone: Accuracy of the held-out students alone.
        oracle: Accuracy that the oracle's help reaches with them.
        measures: The mean of each measure with the teacher.
        origin: When, where, from which sources and by which command it came about.
    """

    variant: str
    seed: int
    arithmetic: str
    world: int
    alone: float
    oracle: float
    measures: Mapping[str, float]
    origin: Mapping[str, Any]


def read_variant(variant: str, seed_directory: Path, evaluation: Path) -> TrainedVariant:
    """Return what a variant came to; the directory of a seed is named by it and says where its trainings ran."""
    _, arms = read_evaluation(evaluation)
    version, oracle = read_world(seed_directory / "world")
    origin = json.loads((seed_directory / ORIGIN).read_text(encoding="utf-8"))
    arithmetic, alone = origin.pop("arithmetic"), arms.pop(ALONE)["accuracy"]
    [measures] = arms.values()
    return TrainedVariant(variant, int(seed_directory.name), arithmetic, version, alone, oracle, measures, origin)


def add_to_record(trained: Sequence[TrainedVariant], directory: Path) -> list[TrainedVariant]:
    """Add trainings to those that are recorded, in place of the same ones, and return all.

    Recorded ones of another version of the world are dropped: they are not of the same recipe.
    """
    path = directory / f"{TRAININGS}.json"
    recorded = json.loads(path.read_text(encoding="utf-8"))["trainings"] if path.is_file() else []
    found = {
        (each.variant, each.seed, each.arithmetic): each
        for each in [*(TrainedVariant(**entry) for entry in recorded), *trained]
        if each.world == trained[-1].world
    }
    together = [found[key] for key in sorted(found)]
    data = {"name": TRAININGS, **provenance(), **_table(together), "trainings": [asdict(each) for each in together]}
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return together


def _table(trained: Sequence[TrainedVariant]) -> dict[str, Any]:
    columns = ["", "seed", "arithmetic", "accuracy", "student alone"]
    rows = [
        [each.variant, str(each.seed), each.arithmetic, f"{each.measures['accuracy']:.1%}", f"{each.alone:.1%}"]
        for each in trained
    ]
    return {"columns": columns, "rows": rows}
