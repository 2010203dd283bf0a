"""Real servers are killed under real runs, which go on: the same weights, the same answers, as if undisturbed."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tests.support.grpo_runs import arguments, metrics, weights, write_questions
from trainers.paths import ROOT
from trainers.serving.server_records import ServerRecords

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(1800)]
PATIENCE_S = 800.0
TOLERANCE = 1e-6
STEPS, QUESTIONS = 6, 60


class Launched:
    """A launch that is disturbed, and has to succeed all the same."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        # Not a pipe: nobody reads while the launch is disturbed, and a full one would stop it.
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, stderr=file, stdout=subprocess.DEVNULL, cwd=ROOT)

    def until(self, condition: Callable[[], Any]) -> None:
        """Wait until something is so, as long as the launch runs."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def said(self) -> str:
        """Return what it has said."""
        return self.log.read_text(encoding="utf-8")[-3000:]

    def to_its_end(self) -> str:
        """Wait for its end; return all that it said."""
        assert self.process.wait(PATIENCE_S) == 0, self.said()
        return self.log.read_text(encoding="utf-8")


@contextmanager
def launched(command: list[str], directory: Path) -> Iterator[Launched]:
    """Start a launch, of which nothing is left afterwards."""
    directory.mkdir(parents=True, exist_ok=True)
    launch = Launched(command, directory / "launch.log")
    try:
        yield launch
    finally:
        # A launcher that is killed has its guards end all that it started.
        launch.process.kill()
        launch.process.wait()


def kill(output: Path, name: str) -> None:
    """Kill the front end of a server, or its only process."""
    [record] = [record for record in ServerRecords(output).now().values() if record.name == name]
    assert record.state == "up"
    [front_end] = psutil.Process(record.pid).children()
    front_end.kill()


def lines(path: Path) -> int:
    """Return how many lines a file has, of which there may be none yet."""
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture(scope="module")
def training(tiny_teacher_dir: Path, tiny_student_dir: Path, free_port: int) -> Callable[..., list[str]]:
    """Make the command of a short training in a directory, all from scratch."""
    teacher = SimpleNamespace(model=str(tiny_teacher_dir), port=free_port)
    pair: Any = SimpleNamespace(teacher=teacher, student=SimpleNamespace(model=str(tiny_student_dir)))

    def command(directory: Path) -> list[str]:
        recipe, *overrides = arguments(pair, directory, f"max_steps={STEPS}", "save_strategy=no", "report_to=null")
        return ["bash", "scripts/launch_with_server.sh", "1", "1", recipe, *overrides, "--no-preflight"]

    return command


@pytest.fixture(scope="module")
def undisturbed(training: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("undisturbed")
    with launched(training(directory), directory) as launch:
        launch.to_its_end()
    return directory / "run"


@pytest.mark.fault(
    "the `vllm serve` of teacher, student or both killed under a real training, after its first step",
    "restarted, weights sent again, no lesson lost: weights at the end are the undisturbed run's to 1e-6",
    sample=1,
)
@pytest.mark.parametrize("victims", [["teacher-0"], ["student-0"], ["teacher-0", "student-0"]])
def test_a_killed_server_changes_nothing_of_what_is_learned(
    victims: list[str],
    training: Callable[..., list[str]],
    undisturbed: Path,
    chance: random.Random,
    tmp_path: Path,
) -> None:
    output = tmp_path / "run"
    with launched(training(tmp_path), tmp_path) as launch:
        launch.until(lambda: lines(output / "metrics.jsonl") >= 1)
        time.sleep(chance.random())
        for victim in victims:
            kill(output, victim)
        said = launch.to_its_end()
    for victim in victims:
        assert f"{victim} is up again" in said
    assert list(metrics(output)) == list(range(1, STEPS + 1))
    trained, expected = weights(output), weights(undisturbed)
    assert max((trained[name] - expected[name]).abs().max().item() for name in expected) < TOLERANCE
    assert (output / "finished.json").is_file()


@pytest.mark.fault(
    "one of two replicas of a student's `vllm serve` killed under a real evaluation",
    "the other one answers, the dead one is restarted, and no answer is lost",
    sample=1,
)
def test_an_evaluation_goes_on_with_the_other_replica_and_loses_nothing(
    tiny_student_dir: Path, free_port: int, chance: random.Random, tmp_path: Path
) -> None:
    questions = write_questions(tmp_path / "questions.jsonl", range(QUESTIONS))
    output = tmp_path / "evaluation"
    command = [
        *("bash", "scripts/launch_with_server.sh", "2", "0", "configs/run/evaluate.yaml", "model=world"),
        *(f"student_model={tiny_student_dir}", f"vllm_port={free_port}", f"dataset_id_or_path={questions}"),
        *(f"output_dir={output}", "student_max_tokens=128", "eval_concurrency=2", "--no-preflight"),
    ]
    with launched(command, tmp_path) as launch:
        before = chance.randrange(1, QUESTIONS // 2)
        launch.until(lambda: lines(output / "student_alone.jsonl") >= before)
        kill(output, "student-1")
        said = launch.to_its_end()
    assert "It is restarted: 1 of at most 3 times" in said
    assert (output / "finished.json").is_file(), said[-3000:]
    answered = [json.loads(line) for line in (output / "student_alone.jsonl").read_text().splitlines()]
    assert len(answered) == QUESTIONS
