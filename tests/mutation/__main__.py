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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.benchmarks.tools.measure import RESULTS, Report
from tests.faults.switched_off import copied, earlier_runs, recorded
from tests.mutation.modules import CORE
from tests.mutation.mutants import Outcome, mutate
from tests.mutation.survivors import why
from trainers.terminal.log_lines import log_to_standard_error

GOAL = 0.9
"""Share of the mutants that the fast tests have to notice."""
_BAR = "¦"
"""In place of the bar that would end a cell of a table."""
logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants; return 0 if enough of them were noticed."""
    options = parser().parse_args(arguments)
    log_to_standard_error()
    with copied() as copy:
        chosen = [module for module in CORE if any(part in module.source for part in options.only)]
        outcomes = mutate(chosen, copy, seed=options.seed, most=options.most, jobs=options.jobs)
    for found in outcomes:
        logger.info("%s: %d of %d noticed", found.module, found.killed, found.drawn)
        for survivor in found.survivors:
            logger.info("    %s", survivor)
    return record(outcomes, options.name, options.output, add=options.add)


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--seed", type=int, default=1, help="of the draw")
    made.add_argument("--most", type=int, default=20, help="mutants drawn of a module")
    made.add_argument("--only", nargs="+", default=[""], help="modules with any of these in their path")
    made.add_argument("--jobs", type=int, default=1, help="mutants tried at once")
    made.add_argument("--add", action="store_true", help="keep what is recorded of modules that are not tried")
    made.add_argument("--name", default="mutation", help="of the record")
    made.add_argument("--output", type=Path, default=RESULTS, help="directory of the record")
    return made


def record(outcomes: Sequence[Outcome], name: str, output: Path, *, add: bool = False) -> int:
    """Write the table of the modules and that of the survivors; return 0 if enough mutants were noticed.

    Args:
        outcomes: of the modules that were tried.
        name: of the record.
        output: directory of it.
        add: whether modules that were not tried keep their rows, with date and commit of the earlier runs.
    """
    before = recorded(output / f"{name}.json") if add else {}
    survived = recorded(output / f"{name}-survivors.json") if add else {}
    outcomes = [*_kept(outcomes, before, survived), *outcomes]
    earlier = {"before": earlier_runs(before)} if before else {}
    drawn, killed = sum(each.drawn for each in outcomes), sum(each.killed for each in outcomes)
    share = killed / drawn if drawn else 0.0
    goal = f"at least {GOAL:.0%} noticed"
    modules = Report(name, "mutants of core modules", goal, earlier, ("module", "mutants", "noticed"))
    modules.rows += [(each.module, str(each.drawn), str(each.killed)) for each in outcomes]
    modules.rows.append(("together", str(drawn), f"{killed} ({share:.1%})"))
    result = f"{killed} of {drawn} noticed"
    modules.finish(result, output)
    survivors = Report(f"{name}-survivors", "mutants that no test noticed", goal, earlier, ("module", "mutant", "why"))
    survivors.rows += [
        (each.module, f"`{survivor.replace('|', _BAR)}`", why(each.module, survivor))
        for each in outcomes
        for survivor in each.survivors
    ]
    survivors.finish(result, output)
    return int(share < GOAL)


def _kept(outcomes: Sequence[Outcome], before: Mapping[str, Any], survived: Mapping[str, Any]) -> Iterator[Outcome]:
    """Yield what is recorded of the core modules that were not tried now."""
    others = {each.source for each in CORE} - {each.module for each in outcomes}
    for module, drawn, _ in before.get("rows", ()):
        if module in others:
            left = [
                mutant.strip("`").replace(_BAR, "|") for name, mutant, _ in survived.get("rows", ()) if name == module
            ]
            yield Outcome(module, int(drawn), tuple(left))


if __name__ == "__main__":
    sys.exit(main())
