"""Command line: `python -m custom_data.world.calculator --world DIR`."""

import argparse
import logging
import os
import sys
from pathlib import Path

# Read when torch is loaded: OpenMP threads that spin while they wait are ten times slower beside other processes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from custom_data.world.calculator.student import FACTS, RECIPE, STUDENT, make_student
from trainers.terminal.log_lines import log_to_standard_error

log = logging.getLogger("custom_data.world.calculator")


def main(arguments: list[str] | None = None) -> int:
    """Make the student with a calculator unless it is there; the exit status is 2 where there is no world."""
    parser = argparse.ArgumentParser(
        prog="python -m custom_data.world.calculator", description="Teach a world's student to use a calculator."
    )
    parser.add_argument("--world", type=Path, required=True, help="directory of a complete world")
    parser.add_argument("--overwrite", action="store_true", help="make it again")
    parser.add_argument("--steps", type=int, default=RECIPE.steps, help="of its training (default %(default)s)")
    parser.add_argument(
        "--second-teachings",
        type=float,
        default=0.0,
        help="share of its examples in which a teacher speaks once more, for teach_at=[0,1] (default %(default)s)",
    )
    options = parser.parse_args(arguments)
    if not 0 <= options.second_teachings < 1:
        parser.error(f"--second-teachings {options.second_teachings}: expected a share from 0 to below 1")
    log_to_standard_error()
    student = options.world / STUDENT
    if (options.world / FACTS).exists() and not options.overwrite:
        log.info("%s is complete: nothing to do", student)
        return 0
    try:
        facts = make_student(options.world, steps=options.steps, second_teachings=options.second_teachings)
    except FileNotFoundError as error:
        log.error("%s", error)
        return 2
    log.info("%s is complete after %.0f s", student, facts["seconds"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
