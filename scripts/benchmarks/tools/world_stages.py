"""The stages that studies of the embedded world begin with: a seed's world, and its warmed-up teacher."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.benchmarks.tools.commands import Stage


def world_stage(seed: int, directory: Path, words: Sequence[str] = ()) -> Stage:
    """Return the making of a seed's world in `DIRECTORY/world`.

    Args:
        seed: of all that is drawn.
        directory: of the seed.
        words: further ones for the command.
    """
    command = [sys.executable, "-m", "custom_data.world", "--output", str(directory / "world"), "--seed", str(seed)]
    return "world", directory / "world" / "world.json", [*command, *words]


def warm_up_stage(seed: int, directory: Path, words: Sequence[str] = (), recipe: str = "quickstart_sft") -> Stage:
    """Return the SFT of a seed's teacher, which the recipe writes to its own directory in `DIRECTORY`.

    Args:
        seed: of the training.
        directory: of the seed, in which its world is.
        words: further ones for the command.
        recipe: of `configs/run`.
    """
    command = ["bash", "scripts/launch.sh", "1", f"configs/run/{recipe}.yaml", f"workspace={directory}", f"seed={seed}"]
    return recipe, directory / recipe.removeprefix("quickstart_") / "finished.json", [*command, *words]
