"""Sweeps: one run for each combination, checked before the first, compared at the end."""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from trainers.configuration import ConfigurationError, compose
from trainers.configuration.devices.machine import assume
from trainers.launch.supervise.interruption import PREEMPTED, Interrupted
from trainers.launch.sweep import __main__ as sweep
from trainers.launch.sweep.__main__ import main
from trainers.launch.sweep.comparison import figures
from trainers.launch.sweep.outcomes import note_status
from trainers.launch.sweep.values import Interval, Listed, Run, divided, extremes, runs_of, typed
from trainers.paths import ROOT


def test_values_are_told_from_lists_and_texts() -> None:
    arguments = ["quickstart_sft", "seed=1,2", "teacher=[a,b]", "run_name='a,b'", "max_steps=range(2,4)", "zero2"]
    assert divided(arguments) == (
        ["quickstart_sft", "teacher=[a,b]", "run_name='a,b'", "zero2"],
        {"seed": Listed(("1", "2")), "max_steps": Listed(("2", "3"))},
    )


def test_intervals_are_of_whole_numbers_where_both_ends_are() -> None:
    _, space = divided(["seed=int(interval(1,9))", "beta=interval(0,1)", "learning_rate=tag(log,interval(1e-6,1e-4))"])
    assert space == {
        "seed": Interval(1, 9, log=False),
        "beta": Interval(0.0, 1.0, log=False),
        "learning_rate": Interval(1e-6, 1e-4, log=True),
    }
    assert [values.whole for values in space.values() if isinstance(values, Interval)] == [True, False, False]
    assert [typed(value) for value in (3, 0.1 + 0.2, 1e-6)] == ["3", "0.3", "1e-06"]


def test_one_value_is_no_sweep() -> None:
    with pytest.raises(ConfigurationError, match="key=a,b,c"):
        divided(["quickstart_sft", "seed=1"])


def test_all_combinations_of_an_interval_are_refused_with_both_ways_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)learning_rate: an interval.*key=a,b,c.*--trials 20"):
        runs_of({"learning_rate": Interval(0.0, 1.0, log=False)}, tmp_path)


def test_each_combination_has_a_directory_of_its_own(tmp_path: Path) -> None:
    runs = list(runs_of({"seed": Listed(("1", "2")), "data": Listed(("a/b", "c"))}, tmp_path))
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
        def __init__(self, command: list[str], env: dict[str, str]) -> None:
            started.append(command)
            trained(Path(command[-1].removeprefix("output_dir=")), [0.25, 0.75 if "seed=1" in command else 0.5])
            self.returncode = 0 if "seed=1" in command else 7

        def __enter__(self) -> Ended:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def wait(self) -> int:
            return self.returncode

    monkeypatch.setattr(subprocess, "Popen", Ended)
    command = ["--servers", "0", "--trainers", "1", "quickstart_sft", "seed=2,1", "max_steps=3"]
    assert main([*command, "--output", str(tmp_path)]) == 7
    assert [call[8:10] for call in started] == [["max_steps=3", "seed=2"], ["max_steps=3", "seed=1"]]
    table = (tmp_path / "sweep.md").read_text()
    told = "seed=2 failed: status 7: the launch failed: see what it wrote"
    assert table.splitlines() == [
        "| seed | taught | state |",
        "| --- | --- | --- |",
        "| 2 | 0.375 | failed |",
        "| 1 | 0.5 | finished |",
        "",
        f"- {told}",
    ]
    shown = capsys.readouterr().out.splitlines()
    assert ["2", "0.375", "failed"] in map(str.split, shown)
    assert ["1", "0.5", "finished"] in map(str.split, shown)
    assert told in shown
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


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Runs that were launched; each is as good as its learning rate is near 1e-5, and one with seed 3 fails."""
    seen: list[Run] = []

    def launch(run: Run, fixed: list[str], options: argparse.Namespace) -> int:
        seen.append(run)
        values = dict(run.values)
        if not run.output_dir.exists():
            trained(run.output_dir, [1 - abs(math.log10(float(values["learning_rate"])) + 5) / 5])
        status = 7 if values.get("seed") == "3" else 0
        note_status(run, status)
        return status

    monkeypatch.setattr(sweep, "launched", launch)
    return seen


SEARCH = ["--servers", "0", "--trainers", "1", "quickstart_sft", "learning_rate=tag(log,interval(1e-8,1e-2))"]


def test_a_search_finds_what_is_good_and_continues(
    tmp_path: Path, launches: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna")
    asked = [*SEARCH, "--output", str(tmp_path), "--maximize", "taught"]
    assert main([*asked, "--trials", "3"]) == 0
    assert len(launches) == 3
    assert main([*asked, "--trials", "15"]) == 0
    assert len(launches) == 15
    assert main([*asked, "--trials", "15"]) == 0
    assert len(launches) == 15
    assert len({run.output_dir for run in launches}) == 15
    table = [line.split("|")[1:-1] for line in (tmp_path / "sweep.md").read_text().splitlines()[2:]]
    figures_of = [float(row[1]) for row in table]
    assert figures_of == sorted(figures_of, reverse=True)
    assert 1e-6 < float(table[0][0]) < 1e-4


def test_a_search_for_the_least_counts_failures_and_says_which_figures_there_are(
    tmp_path: Path, launches: list[Run], caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("optuna")
    asked = [*SEARCH, "--output", str(tmp_path), "--trials", "4"]
    assert main([*asked, "seed=3,3", "--minimize", "taught"]) == 7
    assert len(launches) == 4
    assert main([*asked, "--output", str(tmp_path / "other"), "--minimize", "speed"]) == 0
    assert "has no speed, but taught" in caplog.text


def test_an_interrupted_trial_is_launched_again_where_it_was(
    tmp_path: Path, launches: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    asked = [*SEARCH, "--output", str(tmp_path), "--trials", "3", "--maximize", "taught"]
    launch = sweep.launched

    def interrupted(run: Run, *others: object) -> int:
        launches.append(run)
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(sweep, "launched", interrupted)
    assert main(asked) == PREEMPTED
    monkeypatch.setattr(sweep, "launched", launch)
    assert main(asked) == 0
    assert len(launches) == 4
    assert launches[1] == launches[0]
    assert len(set(launches)) == 3


def test_searches_that_cannot_be_are_refused(
    tmp_path: Path, launches: list[Run], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*SEARCH, "--output", str(tmp_path)]
    for goal in (["--maximize", "taught"], ["--trials", "3"], ["--trials", "0", "--minimize", "loss"]):
        assert main([*asked, *goal]) == 2
        assert "--trials 20 --maximize taught" in capsys.readouterr().err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main([*asked, "--trials", "3", "--maximize", "taught"]) == 2
    assert "pip install optuna" in capsys.readouterr().err
    assert launches == []


def test_the_ends_of_an_interval_are_checked_before_the_first_trial(
    tmp_path: Path, launches: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna")
    asked = ["--servers", "0", "--trainers", "1", "quickstart_sft", "max_steps=int(interval(-3,9))"]
    assert main([*asked, "--output", str(tmp_path), "--trials", "3", "--maximize", "taught"]) == 2
    assert "max_steps=-3" in capsys.readouterr().err
    assert launches == []


SBATCH = """#!/usr/bin/env bash
printf '%s\\n' "$@" > {seen}
echo Submitted batch job 17
exit {status}
"""


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """Puts an `sbatch` that ends with a status first on the PATH; gives the file of its arguments."""

    def put(status: int) -> Path:
        seen = tmp_path / "seen"
        stand_in = tmp_path / "bin" / "sbatch"
        stand_in.parent.mkdir(exist_ok=True)
        stand_in.write_text(SBATCH.format(seen=seen, status=status))
        stand_in.chmod(0o755)
        monkeypatch.setenv("PATH", str(stand_in.parent), prepend=os.pathsep)
        return seen

    return put


def test_an_array_of_slurm_has_a_task_for_each_run(
    tmp_path: Path, sbatch: Callable[[int], Path], launches: list[Run], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    seen = sbatch(0)
    output = tmp_path / "my sweep"
    asked = ["--servers", "4", "--trainers", "4", "teacher_rcl", "seed=1,2,3", "run_name=a b", "--output", str(output)]
    assert main([*asked, "--slurm=--gres=gpu:8 --time=1:00:00"]) == 0
    script = output / "sweep.sbatch"
    assert seen.read_text().splitlines() == ["--array=0-2", str(script)]
    lines = script.read_text().splitlines()
    assert lines[1:8] == [
        "#SBATCH --job-name=my sweep",
        f"#SBATCH --output={output}/task-%a.log",
        "#SBATCH --requeue",
        "#SBATCH --signal=B:USR1@300",
        "#SBATCH --open-mode=append",
        "#SBATCH --gres=gpu:8",
        "#SBATCH --time=1:00:00",
    ]
    task = shlex.split(lines[-1])
    assert task[:2] == ["launch_and_requeue", "scripts/sweep.sh"]
    assert (ROOT / lines[-2].split()[1]).is_file()
    assert task[2:] == [
        "4",
        "4",
        "teacher_rcl",
        "seed=1,2,3",
        "run_name=a b",
        *asked[-2:],
        "--only",
        "$SLURM_ARRAY_TASK_ID",
    ]
    assert '--only "$SLURM_ARRAY_TASK_ID"' in lines[-1]
    assert "Submitted batch job 17, of 3 tasks" in caplog.text
    assert launches == []


def test_an_array_may_search(tmp_path: Path, sbatch: Callable[[int], Path], launches: list[Run]) -> None:
    pytest.importorskip("optuna")
    seen = sbatch(0)
    asked = [*SEARCH, "--output", str(tmp_path), "--trials", "8", "--maximize", "taught"]
    assert main([*asked, "--slurm="]) == 0
    assert seen.read_text().startswith("--array=0-7\n")
    assert "--trials 8 --search-seed 0 --maximize taught --only" in (tmp_path / "sweep.sbatch").read_text()
    for task in range(3):
        assert main([*asked, "--only", str(task)]) == 0
    assert len(set(launches)) == 3


def test_what_slurm_refuses_is_told(
    tmp_path: Path, sbatch: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sbatch(1)
    asked = ["--servers", "0", "--trainers", "1", "quickstart_sft", "seed=1,2", "--output", str(tmp_path / "out")]
    assert main([*asked, "--slurm=--nonsense"]) == 2
    assert "sbatch --array=0-1" in capsys.readouterr().err
    monkeypatch.setenv("PATH", "")
    assert main([*asked, "--slurm="]) == 2
    assert "no sbatch on the PATH" in capsys.readouterr().err


def test_an_evaluation_is_compared_by_accuracy(tmp_path: Path) -> None:
    arms = [{"name": "student alone", "accuracy": {"mean": 0.5}}, {"name": "T", "accuracy": {"mean": 0.75}}]
    (tmp_path / "summary.json").write_text(json.dumps({"arms": arms}))
    assert figures(tmp_path) == {"accuracy student alone": 0.5, "accuracy T": 0.75}


def test_the_loss_that_is_compared_is_that_of_the_last_steps(tmp_path: Path) -> None:
    rows: list[dict[str, float]] = [{"step": step, "loss": 9.0 if step <= 20 else 1.0} for step in range(1, 31)]
    rows.append({"step": 30, "train_loss": 6.3})
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert figures(tmp_path) == {"loss": 1.0}


def test_the_script_says_how_it_is_called() -> None:
    run = subprocess.run([str(ROOT / "scripts/sweep.sh")], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "scripts/sweep.sh V T RECIPE key=a,b,c" in run.stderr


def test_the_sweeps_that_the_guide_shows_can_run() -> None:
    page = (ROOT / "docs/guides/rl-training.md").read_text().replace("\\\n", "")
    commands = re.findall(r"^scripts/sweep\.sh (.*)$", page, re.MULTILINE)
    asked = [sweep._parser().parse_intermixed_args(["--servers", *at_places(command)]) for command in commands]
    spaces = [divided(options.arguments) for options in asked]
    assert [options.trials for options in asked] == [None, 20, None]
    assert [len(runs_of(space, Path("out"))) for _, space in (spaces[0], spaces[2])] == [6, 3]
    for options, (fixed, space) in zip(asked, spaces, strict=True):
        for run in extremes(space, Path("out")):
            config = compose(run.arguments(fixed), assume(8), options.trainers, options.servers).config
            assert config.output.experiment == "teacher_grpo"


def at_places(command: str) -> list[str]:
    """Return the arguments that the script gives on, after `--servers`."""
    servers, trainers, *rest = shlex.split(command)
    return [servers, "--trainers", trainers, *rest]
