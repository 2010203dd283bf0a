"""A run as a job of a real Slurm, watched by what it writes and by what Slurm says of it."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from tests.support import phase_record
from tests.support.grpo_runs import metrics
from tests.support.slurm_cluster import Cluster
from trainers.launch.supervise.interruption import PREEMPTED
from trainers.paths import ROOT

TIMEOUT_S = 900
DONE = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED")
LATEST_S, SETTLED_S = 0.2, 0.2
"""Most seconds into a phase at which it is held, and those after which one that is held stays as it is."""


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

    def phase(self) -> str | None:
        """Return what the training does: of one that keeps no record of it, whether it saves or makes a step."""
        if record := phase_record.read(self.output):
            return phase_record.phase(record)
        saves = any(self.output.glob("checkpoint-*/unfinished"))
        return phase_record.SAVE if saves else phase_record.STEP

    def processes(self, word: str = "") -> list[psutil.Process]:
        """Return the processes of the job, or those that have a word in their command."""
        return [each for each in self.cluster.processes(job=self.number) if word in _command(each)]

    def is_in_its_first_turn(self) -> bool:
        """Return whether anything is left of what the job was before Slurm started it again."""
        found = self.cluster.processes(job=self.number).values()
        return any("SLURM_RESTART_COUNT" not in environment for environment in found)

    def hold(self, phase: str, chance: random.Random) -> list[psutil.Process]:
        """Stop the trainer somewhere in a phase, or the servers that it waits for; return what is stopped.

        Of phases that ended before that the next one counts.
        """
        trainer, servers = self.processes("train.py"), self.processes("vllm_entry serve") + self.processes("VLLM::")
        processes = servers if phase in phase_record.SERVED and chance.random() < 0.5 else trainer
        assert processes, self.said()
        latest = LATEST_S
        while True:
            self.wait(lambda: self.phase() == phase, every_s=0.001)
            time.sleep(chance.uniform(0, latest))
            for process in processes:
                process.suspend()
            # One whose request was answered already goes on without those that are stopped.
            time.sleep(SETTLED_S)
            if self.phase() == phase:
                (self.output / phase_record.HELD).touch()
                return processes
            _let_go_on(processes)
            latest /= 2

    def release(self, held: Iterable[psutil.Process]) -> None:
        """Let the phase end in which the training is held."""
        (self.output / phase_record.HELD).unlink(missing_ok=True)
        _let_go_on(held)

    def stopping(self) -> bool:
        """Return whether the launch has heard that it is to make room."""
        return "the trainer ends its step and saves" in self._log()

    def has_made_room(self) -> bool:
        """Return whether the launch has ended with the status of one that made room."""
        return f"made room (status {PREEMPTED})" in self._log()

    def wait(self, condition: Callable[[], bool], every_s: float = 0.05, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, self.said()
            time.sleep(every_s)

    def said(self) -> str:
        """Return the end of what the job wrote."""
        return self._log()[-4000:] or "nothing"

    def _log(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def finished(self) -> dict[str, str]:
        """Wait for its end, over all turns; return what Slurm says of it."""
        facts = self.cluster.wait_for(self.number, lambda facts: facts["JobState"] in DONE, TIMEOUT_S)
        assert facts["JobState"] == "COMPLETED", self.said()
        assert json.loads((self.output / "finished.json").read_text())
        return facts


def _let_go_on(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
