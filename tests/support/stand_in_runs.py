"""Launches as tests start and end them: the real launcher, from its command to the end of its last process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from tests.support.stand_in_training import STEPS, model_after
from trainers.jsonl import whole_rows
from trainers.output.lock import HELD_BY
from trainers.paths import ROOT

TOKEN = "ATLAS_TEST_RUN"
"""Environment variable that tells the processes of one test's run from all others."""
LONGEST_S = 240.0
"""Most seconds that a launch may take, on a machine with much else to do."""
NOTHING: Mapping[str, str | None] = MappingProxyType({})
_AGENT = "from tests.support.stand_in_training import agent as main\n"


def heed_signals() -> None:
    """Take the signals that a test in the background was started to ignore, which a launch would respect."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Launched:
    """A launch as a test starts it, its processes, and what it has written.

    Args:
        arguments: of the launcher.
        output: the output directory of the run.
        directory: one that is this run's alone; it is started there.
        environment: variables on top of this process's; `None` takes one away.
    """

    def __init__(
        self, arguments: Sequence[str], output: Path, directory: Path, environment: Mapping[str, str | None] = NOTHING
    ) -> None:
        self.output = output
        self.directory = directory
        self._token = str(directory)
        ours = {HELD_BY: None, "PYTHONPATH": str(ROOT), TOKEN: self._token, "CUDA_VISIBLE_DEVICES": ""}
        every = {**os.environ, **ours, **environment}
        self.environment = {name: value for name, value in every.items() if value is not None}
        self.command = [sys.executable, "-m", "trainers.launch", *arguments, "--no-preflight"]

    def start(self, *before: str, **how: Any) -> subprocess.Popen[str]:
        """Start the launch; `before` goes in front of its command."""
        return subprocess.Popen(
            [*before, *self.command],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.directory,
            **{"preexec_fn": heed_signals, **how},
        )

    def to_its_end(self, *before: str, **how: Any) -> tuple[int, str]:
        """Run the launch; return its status and what it said."""
        with self.running(*before, **how) as launch:
            _, said = launch.communicate(timeout=LONGEST_S)
            return launch.returncode, said

    @contextmanager
    def running(self, *before: str, **how: Any) -> Iterator[subprocess.Popen[str]]:
        """Have it run, and leave nothing of it."""
        launch = self.start(*before, **how)
        try:
            yield launch
        finally:
            for process in self.processes():
                process.kill()
            launch.wait()

    def steps(self) -> int:
        """Return how many steps the run has recorded."""
        return max((row["step"] for row in whole_rows(self.output / "metrics.jsonl")), default=0)

    def processes(self) -> list[psutil.Process]:
        """Return all processes of the run, wherever they hang."""
        return [process for process in psutil.process_iter() if _token_of(process) == self._token]

    def wait_until_gone(self) -> None:
        """Wait until no process of the run is left."""
        deadline = time.monotonic() + LONGEST_S
        while left := self.processes():
            # A look at all processes of the machine takes longer than one at these.
            while any(_token_of(process) == self._token for process in left):
                assert time.monotonic() < deadline, left
                time.sleep(0.05)


class StandInRun(Launched):
    """A launch with the stand-in training in a workspace, which is made to look like one with a world."""

    def __init__(self, workspace: Path, environment: Mapping[str, str | None] = NOTHING) -> None:
        world, package = workspace / "world", workspace / "shim" / "accelerate" / "commands"
        for directory in (world / "teacher_base", package):
            directory.mkdir(parents=True, exist_ok=True)
        (world / "teacher_base" / "config.json").write_text("{}", encoding="utf-8")
        for name in ("sft.jsonl", "world.json"):
            (world / name).write_text("{}\n", encoding="utf-8")
        for directory in (package, package.parent):
            (directory / "__init__.py").touch()
        (package / "launch.py").write_text(_AGENT, encoding="utf-8")
        # As the launcher asks for it where a path has spaces or quotes.
        quoted = '"' + str(workspace).replace('"', '\\"') + '"'
        arguments = ["--servers", "0", "--trainers", "2", "quickstart_sft", f"workspace={quoted}"]
        found_first = {"PYTHONPATH": f"{workspace / 'shim'}{os.pathsep}{ROOT}"}
        super().__init__(arguments, workspace / "sft", workspace, {**found_first, **environment})

    def check_as_undisturbed(self, *, every_row: bool = True) -> None:
        """Check that the run ended, with the model and the rows of one that nobody disturbed, and left nothing.

        Rows of metrics that no disk took are lost with the process that kept them: `every_row=False` allows that.
        """
        assert (self.output / "model.txt").read_text(encoding="utf-8") == model_after(STEPS)
        rows = {row["step"]: row["model"] for row in whole_rows(self.output / "metrics.jsonl")}
        expected = {step: model_after(step) for step in range(1, STEPS + 1)}
        assert rows == (expected if every_row else {step: expected[step] for step in rows})
        assert json.loads((self.output / "finished.json").read_text(encoding="utf-8")) == {"steps": STEPS}
        names = {path.name for path in self.output.iterdir()}
        assert {
            name for name in names if name.startswith(("replaced-", "run.lock", "failure.json", "stop", "loading"))
        } == set()
        assert not list(self.output.glob("checkpoint-*/unfinished"))


def _token_of(process: psutil.Process) -> str | None:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.environ().get(TOKEN)
    except (psutil.Error, OSError):
        return None
