"""The bridge to a taskset, from here: a process in another Python, asked from any thread."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from trainers.problems import ConfigurationError, Problem
from trainers.serving.run_token import RUN_TOKEN

BRIDGE = Path(__file__).with_name("bridge.py")
ENDED = "the taskset's process has ended"


class TasksetFailure(RuntimeError):
    """A task could not be read, or its rewards gave none."""


class TasksetProcess:
    """A taskset in another Python, which has the package `verifiers`.

    Args:
        python: that Python's path.
        taskset: the id of the taskset, installed there.
        settings: of the taskset, by name.

    Raises:
        ConfigurationError: when there is no such Python, or the taskset cannot be loaded or asked there.
    """

    def __init__(self, python: str, taskset: str, settings: Mapping[str, Any] | None = None) -> None:
        command = [str(Path(python).expanduser()), str(BRIDGE), taskset, json.dumps(dict(settings or {}))]
        given = f"taskset={taskset} python={python}"
        # Keys of its judges are its own; the token of a run's servers is not.
        environment = {name: value for name, value in os.environ.items() if name != RUN_TOKEN}
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
            )
        except OSError as error:
            remedy = "name the Python of an environment in which the package verifiers is installed"
            raise ConfigurationError([Problem(given, f"cannot be run ({error})", remedy)]) from error
        began = json.loads(self._lines.readline() or '{"refused": "it ended; see what it wrote above"}')
        if "tasks" not in began:
            self.close()
            remedy = "choose another taskset, or mend what it says; verifiers and the taskset must be installed there"
            raise ConfigurationError([Problem(given, str(began.get("refused")), remedy)])
        self.tasks = int(began["tasks"])
        self._numbers, self._writing, self._ended = count(), threading.Lock(), False
        self._waiting: dict[int, Future[Mapping[str, Any]]] = {}
        threading.Thread(target=self._read, name=f"taskset {taskset}", daemon=True).start()

    def questions(self) -> Iterator[str]:
        """Yield what the tasks ask, in order."""
        for task in range(self.tasks):
            yield str(self._ask(task=task)["question"])

    def reward(self, task: int, solution: str) -> float:
        """Return what a task's own rewards give a solution. Blocks.

        Raises:
            TasksetFailure: when they give none.
        """
        return float(self._ask(task=task, solution=solution)["reward"])

    def close(self) -> None:
        """End the process; whoever waits for it fails."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def _lines(self) -> Any:
        assert self._process.stdout is not None
        return self._process.stdout

    def _ask(self, **what: Any) -> Mapping[str, Any]:
        asked: Future[Mapping[str, Any]] = Future()
        with self._writing:
            # A pipe may take a line that nobody reads any more.
            if self._ended:
                raise TasksetFailure(ENDED)
            number = next(self._numbers)
            self._waiting[number] = asked
            try:
                self._write({"id": number, **what})
            except (OSError, ValueError) as error:
                del self._waiting[number]
                raise TasksetFailure(ENDED) from error
        answer = asked.result()
        if "failure" in answer:
            raise TasksetFailure(str(answer["failure"]))
        return answer

    def _write(self, what: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        """Hand answers to whoever waits for them; at the end nobody may wait any more."""
        for line in self._lines:
            answer = json.loads(line)
            self._waiting.pop(answer["id"]).set_result(answer)
        with self._writing:
            self._ended = True
            while self._waiting:
                _, asked = self._waiting.popitem()
                asked.set_result({"failure": ENDED})
