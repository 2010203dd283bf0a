"""Real servers are killed under real runs, which go on: the same weights, the same answers, as if undisturbed."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable
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
STEPS = 6


def ended(command: list[str], disturb: Callable[[], None]) -> str:
    """Run a launch that is disturbed, and has to succeed all the same; return what it said."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=ROOT) as launch:
        disturb()
        assert launch.stderr is not None
        said = launch.stderr.read()
    assert launch.returncode == 0, said[-3000:]
    return said


def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


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
    ended(training(directory), lambda: None)
    return directory / "run"


@pytest.mark.parametrize("victims", [["teacher-0"], ["student-0"], ["teacher-0", "student-0"]])
def test_a_killed_server_changes_nothing_of_what_is_learned(
    victims: list[str], training: Callable[..., list[str]], undisturbed: Path, tmp_path: Path
) -> None:
    output, moments = tmp_path / "run", random.Random(len(victims[0]) + len(victims))

    def disturb() -> None:
        until(lambda: lines(output / "metrics.jsonl") >= 1)
        time.sleep(moments.random())
        for victim in victims:
            kill(output, victim)

    said = ended(training(tmp_path), disturb)
    for victim in victims:
        assert f"{victim} is up again" in said
    assert list(metrics(output)) == list(range(1, STEPS + 1))
    trained, expected = weights(output), weights(undisturbed)
    assert max((trained[name] - expected[name]).abs().max().item() for name in expected) < TOLERANCE
    assert (output / "finished.json").is_file()


@pytest.mark.xfail(run=False, reason="did not end within its time when it was run on real servers; not understood yet")
def test_an_evaluation_goes_on_with_the_other_replica_and_loses_nothing(
    tiny_student_dir: Path, free_port: int, tmp_path: Path
) -> None:
    questions = write_questions(tmp_path / "questions.jsonl", range(60))
    output = tmp_path / "evaluation"
    command = [
        *("bash", "scripts/launch_with_server.sh", "2", "0", "configs/run/evaluate.yaml", "model=world"),
        *(f"student_model={tiny_student_dir}", "students=null", "heldout_students=null", f"vllm_port={free_port}"),
        *(f"eval_dataset_id_or_path={questions}", f"dataset_id_or_path={questions}", f"output_dir={output}"),
        *("student_max_model_len=256", "student_max_tokens=128", "eval_concurrency=2", "--no-preflight"),
    ]

    def disturb() -> None:
        until(lambda: lines(output / "student_alone.jsonl") >= 3)
        kill(output, "student-1")

    said = ended(command, disturb)
    assert "It is restarted: 1 of at most 3 times" in said
    assert (output / "finished.json").is_file(), said[-3000:]
    answered = [json.loads(line) for line in (output / "student_alone.jsonl").read_text().splitlines()]
    assert len(answered) == 60
