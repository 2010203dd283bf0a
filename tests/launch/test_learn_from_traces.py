"""`scripts/learn_from_traces.sh`, planned: training on the traces, then the new teacher beside the old one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.launch.test_scripts import script
from tests.traces.test_recorder import trace
from trainers.traces.recorder import TraceRecorder


@pytest.fixture
def traces(tmp_path: Path) -> str:
    directory = tmp_path / "traces"
    TraceRecorder(directory).record(trace(question="2 + 2?", approach="guess", teaching="add", taught="4"))
    return str(directory)


@pytest.mark.parametrize(
    ("options", "program", "stages"),
    [
        ("", "launch.sh 8 configs/run/teacher_sft.yaml", "trainer-7"),
        ("--grpo --training verifier=exact", "launch_with_server.sh 4 4 configs/run/teacher_rcl.yaml", "trainer-3"),
    ],
)
def test_both_stages_are_planned(traces: str, tmp_path: Path, options: str, program: str, stages: str) -> None:
    words = "trace_approved=true --teacher results/old --dry-run --assume-gpus 8"
    run = script(f"learn_from_traces.sh {traces} {words} {options} --evaluation num_rollouts=2", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    training, evaluation = [line for line in run.stdout.splitlines() if line.startswith("$ ")]
    assert program in training
    for command in (training, evaluation):
        assert f"data=traces dataset_id_or_path={traces}" in command
        assert "trace_approved=true" in command
    assert "model_name_or_path=results/old output_dir=results/from_traces/teacher" in training
    assert "dataset_split=heldout teacher=[results/old]" in evaluation
    assert ("num_rollouts=2" in training, "num_rollouts=2" in evaluation) == (False, True)
    assert stages in run.stdout
    assert run.stdout.count("Nothing was started") == 2


def test_a_mistake_in_the_evaluation_is_told_before_training(traces: str, tmp_path: Path) -> None:
    run = script(f"learn_from_traces.sh {traces} --teacher org/old --evaluation verifyer=judge", cwd=tmp_path)
    assert run.returncode == 2
    assert "verifyer" in run.stderr
    assert "launch.sh" not in run.stdout


@pytest.mark.parametrize(("words", "told"), [("nowhere", "no traces"), ("", "scripts/learn_from_traces.sh DIR")])
def test_without_traces_it_says_how_they_are_made(tmp_path: Path, words: str, told: str) -> None:
    run = script(f"learn_from_traces.sh {words}", cwd=tmp_path)
    assert run.returncode == 2
    assert told in run.stderr
