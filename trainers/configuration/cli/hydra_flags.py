"""Hydra's flags: those that show a composition, and what to do in place of those that mean nothing here."""

from __future__ import annotations

RECIPE_ELSEWHERE = "name the file, DIRECTORY/run/NAME.yaml, whose defaults find the groups in DIRECTORY too"
SHOWING = {"--cfg", "-c", "--info", "-i"}
_SWEEP = (
    "one run per command",
    "start several with scripts/sweep.sh V T RECIPE key=a,b,c, with V GPUs for servers and T for training",
)
_COMPLETION = ("the words of a shell cannot be completed", "--cfg job lists all keys of a recipe")
INSTEAD = {
    "--multirun": _SWEEP,
    "-m": _SWEEP,
    "--config-dir": ("recipes are found by their path", RECIPE_ELSEWHERE),
    "-cd": ("recipes are found by their path", RECIPE_ELSEWHERE),
    "--shell-completion": _COMPLETION,
    "-sc": _COMPLETION,
    "--run": ("a recipe runs without it", "leave it out"),
    "-r": ("a recipe runs without it", "leave it out"),
    "--experimental-rerun": ("runs are continued by their output directory", "give the command of the run again"),
}
"""Flags of Hydra that mean nothing here: what is so instead, and what to do."""
