"""A check in a process of its own, which a deadline ends together with everything that it started."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from scripts.gpu_check.context import CheckFailed, Context, loaded
from scripts.gpu_check.outcomes import Outcome
from trainers.paths import ROOT

FAILED = 3
GRACE_S = 10.0


def run_isolated(context: Context, function: str, deadline_s: float) -> Outcome:
    """Run `module:function` of a context; whatever becomes of it, return an outcome."""
    place, log = context.root / f"{context.name}.context.json", context.root / "logs" / f"{context.name}.log"
    kept = context.root / f"{context.name}.json"
    kept.unlink(missing_ok=True)
    context.save(place)
    start = time.monotonic()
    with log.open("wb") as file:
        command = [sys.executable, "-m", "scripts.gpu_check.isolated", function, str(place)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, start_new_session=True)
        try:
            status: int | None = process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            _end(process)
    seconds = time.monotonic() - start
    figures = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    if status is None:
        return Outcome(context.name, "timed out", seconds, figures, f"after {deadline_s:.0f} s; see {log}")
    if status:
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        return Outcome(context.name, "failed", seconds, figures, f"{' '.join(said)} (see {log})")
    return Outcome(context.name, "passed", seconds, figures)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group: politely first, because what it started ends with it in good order then."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            continue
        return


def main(function: str, place: str) -> int:
    """Run a check in this process."""
    module, _, name = function.partition(":")
    context = loaded(Path(place))
    try:
        getattr(importlib.import_module(module), name)(context)
    except CheckFailed as error:
        sys.stderr.write(f"\n{' '.join(str(error).split())}\n")
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
