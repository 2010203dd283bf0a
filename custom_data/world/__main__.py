"""Command line: `python -m custom_data.world --output DIR [--seed N]`."""

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Group

# Read when torch is loaded: OpenMP threads that spin while they wait are ten times slower beside other processes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from custom_data.world.build import VERSION, Size, build_world, read_manifest
from custom_data.world.models.measurement import FIGURES
from custom_data.world.models.practice import Practice
from custom_data.world.models.preparation import Recipe
from trainers.terminal.log_lines import log_to_standard_error
from trainers.terminal.tables import console_for_tables, tables_within

log = logging.getLogger("custom_data.world")
CEILINGS = {
    "alone": "accuracy alone",
    "best_lecture": "accuracy with the best lecture, which ignores the student",
    "oracle": "accuracy with an oracle, which knows what the student believes",
    "mutual_information_bits": "mutual information of question and belief (bits)",
}


def main(arguments: list[str] | None = None) -> int:
    """Make the world unless it is there already; the exit status is 2 when another world is in the way."""
    options = _parse(arguments)
    log_to_standard_error()
    wanted = {"version": VERSION, "seed": options.seed, "preparation_steps": options.preparation_steps}
    present = read_manifest(options.output)
    if present and not options.overwrite:
        found = {key: present.get(key) for key in wanted}
        if found == wanted:
            log.info("%s is complete: nothing to do", options.output)
            return 0
        log.error(
            "%s holds another world (%s, wanted %s). Choose another --output, or replace it with: "
            "python -m custom_data.world --output %s --seed %d --overwrite",
            options.output, found, wanted, options.output, options.seed,
        )  # fmt: skip
        return 2
    # No practice makes up for what was hardly prepared, and who asks for that wants it soon.
    practice = Practice() if options.preparation_steps >= Recipe().steps else Practice(rounds=0)
    size = Size(preparation=Recipe(steps=options.preparation_steps), practice=practice)
    manifest = build_world(options.output, options.seed, size)
    console = console_for_tables()
    console.print(report(manifest, console.width))
    log.info("%s is complete after %.0f s", options.output, manifest["seconds"])
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m custom_data.world", description="Make an embedded world.")
    parser.add_argument("--output", type=Path, required=True, help="directory of the world")
    parser.add_argument("--seed", type=int, default=0, help="everything in the world follows from it (default 0)")
    parser.add_argument("--overwrite", action="store_true", help="replace a complete world that is already there")
    parser.add_argument(
        "--preparation-steps",
        type=int,
        default=Recipe().steps,
        help="of the student (%(default)s); fewer make it dull, and nothing is practised until it is learned",
    )
    return parser.parse_args(arguments)


def report(manifest: dict[str, Any], width: int) -> Group:
    """Return the tables of what was measured of each student, and of what a teacher of theirs can reach."""
    header = ("student", *(name.replace("_", " ") for name in FIGURES))
    rows = [(name, *(f"{figures[figure]:.0%}" for figure in FIGURES)) for name, figures in manifest["students"].items()]
    pools = manifest["ceilings"]
    ceilings = []
    for name, label in CEILINGS.items():
        unit = ".2f" if name.endswith("bits") else ".1%"
        ceilings.append((label, *(f"{pools[pool][name]:{unit}}" for pool in ("students", "heldout_students"))))
    notes = "\n".join(f"{name.replace('_', ' ')}: {meaning}" for name, meaning in FIGURES.items())
    return Group(
        *(part for table in tables_within(width, "held-out questions", header, rows) for part in ("", table)),
        f"\n{notes}\n",
        f"Whether two plans are one, the teacher's base says right of {manifest['teacher_base']['comparisons']:.0%}.\n",
        *tables_within(
            width, f"world {manifest['seed']}", ("under their rule", "students", "held-out students"), ceilings
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
