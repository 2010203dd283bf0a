"""Command line: `python -m custom_data.world.judging --world DIR`."""

import argparse
import logging
import os
import sys
from pathlib import Path

# Read when torch is loaded: OpenMP threads that spin while they wait are ten times slower beside other processes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from custom_data.world.judging.model import FACTS, JUDGE, RECIPE, make_judge
from trainers.terminal.log_lines import log_to_standard_error

log = logging.getLogger("custom_data.world.judging")


def main(arguments: list[str] | None = None) -> int:
    """Make the judge unless it is there; the exit status is 2 where there is no world."""
    parser = argparse.ArgumentParser(
        prog="python -m custom_data.world.judging", description="Teach a model of a world to judge its solutions."
    )
    parser.add_argument("--world", type=Path, required=True, help="directory of a complete world")
    parser.add_argument("--overwrite", action="store_true", help="make it again")
    parser.add_argument("--steps", type=int, default=RECIPE.steps, help="of its training (default %(default)s)")
    options = parser.parse_args(arguments)
    log_to_standard_error()
    judge = options.world / JUDGE
    if (options.world / FACTS).exists() and not options.overwrite:
        log.info("%s is complete: nothing to do", judge)
        return 0
    try:
        facts = make_judge(options.world, steps=options.steps)
    except FileNotFoundError as error:
        log.error("%s", error)
        return 2
    log.info("%s is complete after %.0f s, right in %.1f%%", judge, facts["seconds"], 100 * facts["agreement"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
