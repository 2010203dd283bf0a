"""Change one place of a core module at a time, and see whether a fast test notices.

    python -m tests.mutation --seed 1 --most 20 --output docs/benchmarks/data
    python -m tests.mutation --seed 7 --only metrics

The mutants are mutmut's, drawn by the seed; words for people are left alone. Each runs in a copy of the repository,
with those of its module's tests that reach it. One record has a row for every module, another the survivors, with the
reason why no test could notice them where there is one (`tests/mutation/survivors.py`).
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.benchmarks.tools.measure import RESULTS, Report
from tests.faults.switched_off import copied
from tests.mutation.modules import CORE
from tests.mutation.mutants import Outcome, mutate
from tests.mutation.survivors import why
from trainers.terminal.log_lines import log_to_standard_error

GOAL = 0.9
"""Share of the mutants that the fast tests have to notice."""
logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants; return 0 if enough of them were noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--most", type=int, default=20, help="mutants drawn of a module")
    parser.add_argument("--only", nargs="+", default=[""], help="modules with any of these in their path")
    parser.add_argument("--jobs", type=int, default=1, help="mutants tried at once")
    parser.add_argument("--name", default="mutation", help="of the record")
    parser.add_argument("--output", type=Path, default=RESULTS, help="directory of the record")
    options = parser.parse_args(arguments)
    log_to_standard_error()
    with copied() as copy:
        chosen = [module for module in CORE if any(part in module.source for part in options.only)]
        outcomes = mutate(chosen, copy, seed=options.seed, most=options.most, jobs=options.jobs)
    for found in outcomes:
        logger.info("%s: %d of %d noticed", found.module, found.killed, found.drawn)
        for survivor in found.survivors:
            logger.info("    %s", survivor)
    return record(outcomes, options.name, options.output)


def record(outcomes: Sequence[Outcome], name: str, output: Path) -> int:
    """Write the table of the modules and that of the survivors; return 0 if enough mutants were noticed."""
    drawn, killed = sum(each.drawn for each in outcomes), sum(each.killed for each in outcomes)
    share = killed / drawn if drawn else 0.0
    goal = f"at least {GOAL:.0%} noticed"
    modules = Report(name, "mutants of core modules", goal, columns=("module", "mutants", "noticed"))
    modules.rows += [(each.module, str(each.drawn), str(each.killed)) for each in outcomes]
    modules.rows.append(("together", str(drawn), f"{killed} ({share:.1%})"))
    result = f"{killed} of {drawn} noticed"
    modules.finish(result, output)
    survivors = Report(f"{name}-survivors", "mutants that no test noticed", goal, columns=("module", "mutant", "why"))
    survivors.rows += [
        (each.module, f"`{survivor.replace('|', '¦')}`", why(each.module, survivor))
        for each in outcomes
        for survivor in each.survivors
    ]
    survivors.finish(result, output)
    return int(share < GOAL)


if __name__ == "__main__":
    sys.exit(main())
