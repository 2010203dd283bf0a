"""`python -m tests.faults.switched_off`: switch each protection off, one at a time, and see its test fail.

    python -m tests.faults.switched_off --output docs/benchmarks/data
    python -m tests.faults.switched_off --only lock --add --output docs/benchmarks/data

For each it copies the repository, takes a piece of the copy's source away, and runs the test there that would find out.
A protection whose test passes all the same is one that nothing holds in place. With `--add` the outcomes of the others
stay as they were recorded, with date and commit of those earlier runs.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.benchmarks.tools.measure import RESULTS, Report
from tests.faults.protections import PROTECTIONS, Protection
from trainers.paths import ROOT
from trainers.terminal.log_lines import log_to_standard_error

NAME, WHENCE = "switched-off", ("date", "commit", "command")
LONGEST_S = 600.0
logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Switch them off; return 0 if each was missed by its test."""
    report = Report(NAME, "protections switched off", "each is missed", columns=("switched off", "its test"))
    return switch_off(PROTECTIONS, report, __doc__, arguments)


def switch_off(
    protections: Sequence[Protection], report: Report, description: str | None, arguments: Sequence[str] | None
) -> int:
    """Switch off those that the arguments choose, and finish the report; return 0 if each was missed by its test."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="those with this in their name")
    parser.add_argument("--jobs", type=int, default=2, help="tests run at once")
    parser.add_argument("--add", action="store_true", help="keep what is recorded of those that are not tried")
    parser.add_argument("--output", type=Path, default=RESULTS, help="directory of the record")
    options = parser.parse_args(arguments)
    log_to_standard_error()
    earlier = recorded(options.output / f"{report.name}.json") if options.add else {}
    chosen = [protection for protection in protections if options.only in protection.name]

    def tried(protection: Protection) -> tuple[str, str]:
        with copied() as copy:
            found = outcome(protection, copy)
        logger.info("%s: %s", protection.name, found)
        return protection.name, found

    with ThreadPoolExecutor(options.jobs) as workers:
        found = {**dict(earlier.get("rows", ())), **dict(workers.map(tried, chosen))}
    report.rows += [(each.name, found[each.name]) for each in protections if each.name in found]
    if earlier:
        report.values["before"] = earlier_runs(earlier)
    failed = sum(found == "failed" for _, found in report.rows)
    report.finish(f"{failed} of {len(report.rows)} tests failed", options.output)
    return int(failed < len(report.rows))


def recorded(path: Path) -> dict[str, Any]:
    """Return an earlier record; empty where there is none."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def earlier_runs(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return when, from which sources and by which commands the rows of a record came about."""
    return [*record.get("before", ()), {name: record[name] for name in WHENCE}]


@contextmanager
def copied() -> Iterator[Path]:
    """Copy what git knows of the repository, and what is new in it, to a directory that is gone afterwards."""
    asked = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split("\0")
    with tempfile.TemporaryDirectory(prefix="switched-off-") as directory:
        for name in filter(None, names):
            if (ROOT / name).is_file():
                target = Path(directory) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, target)
        yield Path(directory)


def outcome(protection: Protection, copy: Path) -> str:
    """Return how the test of a protection ends in a copy of the repository without it: `failed`, as it should."""
    path = copy / protection.file
    source = path.read_text(encoding="utf-8")
    path.write_text(without(protection, source), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--repeats", "1", f"tests/{protection.test}"]
    # Bytecode is found again by size and time of the source, which two versions may share.
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "CI": "true"}
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=LONGEST_S
        )
    except subprocess.TimeoutExpired:
        return "failed"
    finally:
        path.write_text(source, encoding="utf-8")
    # 1: tests were run, and some failed; anything else, such as a test that is not there, finds nothing out.
    return {0: "passed", 1: "failed"}.get(done.returncode, f"could not be run ({done.returncode})")


def without(protection: Protection, source: str) -> str:
    """Return a source without a protection.

    Raises:
        ValueError: when the piece that does it does not stand there once.
    """
    if source.count(protection.old) != 1:
        raise ValueError(f"{protection.file} has {source.count(protection.old)} times: {protection.old!r}")
    return source.replace(protection.old, protection.new)


if __name__ == "__main__":
    sys.exit(main())
