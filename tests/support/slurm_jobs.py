"""A run as a job of a real Slurm, watched by what it writes and by what Slurm says of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.grpo_runs import metrics
from tests.support.slurm_cluster import Cluster
from trainers.paths import ROOT

TIMEOUT_S = 900
DONE = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED")


class Job:
    """One run as a job, into a directory of its own.

    Args:
        cluster: where it runs.
        script: of `scripts/slurm`.
        words: its arguments, without `output_dir`.
        directory: for output and log.
        options: more of them for `sbatch`.
    """

    def __init__(
        self, cluster: Cluster, script: str, words: Sequence[str], directory: Path, options: Sequence[str] = ()
    ) -> None:
        directory.mkdir(parents=True)
        self.cluster, self.output, self.log = cluster, directory / "run", directory / "job.log"
        options = (*options, f"--output={self.log}", "--mem=100", f"scripts/slurm/{script}")
        self.number = cluster.submit(*options, *words, f"output_dir={self.output}", cwd=ROOT)

    def wait_for_step(self, step: int) -> None:
        """Wait until a step is logged."""
        self.wait(lambda: (self.output / "metrics.jsonl").exists() and len(metrics(self.output)) >= step)

    def wait_for_save(self) -> None:
        """Wait until a checkpoint is being written."""
        self.wait(lambda: any(self.output.glob("checkpoint-*/unfinished")), every_s=0.002)

    def wait(self, condition: Callable[[], bool], every_s: float = 0.05, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, self.said()
            time.sleep(every_s)

    def said(self) -> str:
        """Return the end of what the job wrote."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else "nothing"

    def finished(self) -> dict[str, str]:
        """Wait for its end, over all turns; return what Slurm says of it."""
        facts = self.cluster.wait_for(self.number, lambda facts: facts["JobState"] in DONE, TIMEOUT_S)
        assert facts["JobState"] == "COMPLETED", self.said()
        assert json.loads((self.output / "finished.json").read_text())
        return facts
