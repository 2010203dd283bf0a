"""Sweeps: one run for each combination, checked before the first, compared at the end."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from trainers.configuration import ConfigurationError, compose
from trainers.configuration.devices.machine import assume
from trainers.launch import sweep
from trainers.launch.sweep import divided, figures, main, runs_of
from trainers.paths import ROOT


def test_values_are_told_from_lists_and_texts() -> None:
    arguments = ["quickstart_sft", "seed=1,2", "teacher=[a,b]", "run_name='a,b'", "max_steps=range(2,4)", "zero2"]
    assert divided(arguments) == (
        ["quickstart_sft", "teacher=[a,b]", "run_name='a,b'", "zero2"],
        [("seed", ["1", "2"]), ("max_steps", ["2", "3"])],
    )


@pytest.mark.parametrize("arguments", [["quickstart_sft", "seed=1"], ["quickstart_sft", "learning_rate=interval(0,1)"]])
def test_what_has_no_list_of_values_is_refused(arguments: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="key=a,b,c"):
        divided(arguments)


def test_each_combination_has_a_directory_of_its_own(tmp_path: Path) -> None:
    runs = list(runs_of([("seed", ["1", "2"]), ("data", ["a/b", "c"])], tmp_path))
    assert [run.name for run in runs] == ["seed=1 data=a/b", "seed=1 data=c", "seed=2 data=a/b", "seed=2 data=c"]
    assert runs[0].output_dir == tmp_path / "seed-1_data-a_b"
    assert len({run.output_dir for run in runs}) == 4


def trained(output_dir: Path, taught: list[float]) -> None:
    output_dir.mkdir(parents=True)
    rows = [{"step": step, "teaching/taught_accuracy": share} for step, share in enumerate(taught, 1)]
    (output_dir / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in [rows[0], *rows]))


def test_runs_are_started_one_after_another_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[list[str]] = []

    class Ended:
        def __init__(self, command: list[str]) -> None:
            started.append(command)
            trained(Path(command[-1].removeprefix("output_dir=")), [0.25, 0.75 if "seed=1" in command else 0.5])

        def __enter__(self) -> Ended:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def wait(self) -> int:
            return 0 if "seed=1" in started[-1] else 7

    monkeypatch.setattr(subprocess, "Popen", Ended)
    command = ["--servers", "0", "--trainers", "1", "quickstart_sft", "seed=2,1", "max_steps=3"]
    assert main([*command, "--output", str(tmp_path)]) == 7
    assert [call[8:10] for call in started] == [["max_steps=3", "seed=2"], ["max_steps=3", "seed=1"]]
    table = (tmp_path / "sweep.md").read_text()
    assert table.splitlines() == ["| seed | taught |", "| --- | --- |", "| 2 | 0.375 |", "| 1 | 0.5 |"]
    assert table in capsys.readouterr().out
    assert (tmp_path / "sweep.png").stat().st_size > 1000
    started.clear()
    (tmp_path / "seed-1/metrics.jsonl").unlink()
    (tmp_path / "seed-1").rmdir()
    assert main([*command, "--output", str(tmp_path), "--only", "1"]) == 0
    assert len(started) == 1


def test_mistakes_are_told_before_the_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep, "start", lambda *_: pytest.fail("started"))
    command = ["--servers", "0", "--trainers", "1", "quickstart_sft", f"--output={tmp_path}"]
    assert main([*command, "max_steps=2,many"]) == 2
    assert "max_steps=many: expected a whole number" in capsys.readouterr().err
    assert main([*command, "max_steps=2,3", "--only", "2"]) == 2
    assert "there are 2 runs" in capsys.readouterr().err


def test_an_evaluation_is_compared_by_accuracy(tmp_path: Path) -> None:
    arms = [{"name": "student alone", "accuracy": {"mean": 0.5}}, {"name": "T", "accuracy": {"mean": 0.75}}]
    (tmp_path / "summary.json").write_text(json.dumps({"arms": arms}))
    assert figures(tmp_path) == {"accuracy student alone": 0.5, "accuracy T": 0.75}


def test_the_script_says_how_it_is_called() -> None:
    run = subprocess.run([str(ROOT / "scripts/sweep.sh")], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "scripts/sweep.sh V T RECIPE key=a,b,c" in run.stderr


def test_the_sweep_that_the_guide_shows_can_run() -> None:
    page = (ROOT / "docs/guides/rl-training.md").read_text()
    [command] = re.findall(r"^scripts/sweep\.sh (.*)$", page, re.MULTILINE)
    servers, trainers, *arguments = command.split()
    fixed, swept = divided(arguments)
    runs = list(runs_of(swept, Path("results/sweep")))
    assert len(runs) == 6
    for run in runs:
        own = [f"{key}={value}" for key, value in run.values]
        assert (
            compose([*fixed, *own], assume(8), int(trainers), int(servers)).config.output.experiment == "teacher_grpo"
        )
