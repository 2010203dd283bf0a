"""The study of a judge's noise: what it runs is accepted, and what it reports follows from the runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from scripts.benchmarks.learning import judge_noise
from tests.support.studies import called, commands_of
from trainers.configuration import compose, server_layout
from trainers.configuration.devices.machine import assume
from trainers.configuration.settings.experiments import EvaluationExperiment, GRPOExperiment


def lesson(right: bool | None) -> dict[str, object]:
    """A lesson whose taught solution is right or wrong, or that failed."""
    taught = None if right is None else {"text": f"<solution>{7 if right else 8}</solution>"}
    return {"ground_truth": "7", "taught": taught}


FLIPPED = [judge_noise.flipped(rate) for rate in judge_noise.FLIP_RATES]


def finished(directory: Path, accuracies: Mapping[judge_noise.Judging, float]) -> None:
    """Trainings of eight steps in which three of five taught solutions are right, and the evaluation of all."""
    for judging in accuracies:
        trained = directory / judging.name
        trained.mkdir(parents=True)
        (trained / "lessons").mkdir()
        for step in range(1, 9):
            lessons = [lesson(right) for right in (True, True, True, False, False, None)]
            (trained / "lessons" / f"step_{step:06d}.jsonl").write_text("\n".join(map(json.dumps, lessons)))
        (trained / "finished.json").write_text("{}")
    evaluated = judge_noise.evaluated(directory, [*accuracies])
    evaluated.mkdir()
    estimate = {"low": 0.3, "high": 0.95}
    arms = [
        {"accuracy": {"mean": accuracy} | estimate, "non_degradation_rate": {"mean": accuracy + 0.05}}
        for accuracy in (0.4, *accuracies.values())
    ]
    (evaluated / "summary.json").write_text(json.dumps({"arms": arms}))


def test_the_report_has_means_seeds_and_curves_by_the_answer_key(monkeypatch, tmp_path, caplog):
    options = ("--seeds", "0", "1", "--output", str(tmp_path), "--report-only")
    with pytest.raises(SystemExit, match="no seed has finished"):
        called(monkeypatch, judge_noise, *options)
    for seed, better in ((0, 0.0), (2, 0.02)):
        accuracies = dict(zip(FLIPPED, (0.9, 0.85, 0.8, 0.6), strict=True))
        finished(tmp_path / str(seed), {judging: accuracy + better for judging, accuracy in accuracies.items()})
    called(monkeypatch, judge_noise, "--seeds", "0", "1", "2", *options[3:], "--record", str(tmp_path))
    assert "left out, not finished: seeds [1]" in caplog.text
    recorded = json.loads((tmp_path / "judge-noise.json").read_text())
    interval = "[30.0%, 95.0%]"
    assert recorded["rows"] == [
        ["student alone", "40.0%", f"40.0% {interval}", f"40.0% {interval}", ""],
        ["0% wrong", "91.0%", f"90.0% {interval}", f"92.0% {interval}", "96.0%"],
        ["5% wrong", "86.0%", f"85.0% {interval}", f"87.0% {interval}", "91.0%"],
        ["15% wrong", "81.0%", f"80.0% {interval}", f"82.0% {interval}", "86.0%"],
        ["30% wrong", "61.0%", f"60.0% {interval}", f"62.0% {interval}", "66.0%"],
    ]
    curve = judge_noise.read_curve(tmp_path / "0" / "flipped_0.3")
    assert curve == pytest.approx([0.6] * 8)
    assert recorded["columns"][2:4] == ["seed 0", "seed 2"]
    assert "| 30% wrong | 61.0% |" in (tmp_path / "judge_noise.md").read_text()
    assert (tmp_path / "judge_noise.png").is_file()


def test_rates_that_say_nothing_are_refused(monkeypatch, tmp_path):
    with pytest.raises(SystemExit):
        called(monkeypatch, judge_noise, "--flip-rates", "0.5", "--output", str(tmp_path))


def test_its_commands_are_accepted(tmp_path):
    made, own = tmp_path / "made", tmp_path / "own"
    training = judge_noise.training(made, own, 3, judge_noise.flipped(0.15), 60, ["learning_rate=1e-4"])
    config = compose(training[4:], assume(0), servers=1).config
    assert isinstance(config, GRPOExperiment)
    assert config.teaching.verifier_args["model"]["agent_args"] == {"flip_rate": 0.15, "seed": 3}
    assert config.model.model_name_or_path == str(made / "sft")
    evaluation = compose(judge_noise.evaluation(made, own, 3, FLIPPED[:2])[2:], assume(0), servers=1).config
    assert isinstance(evaluation, EvaluationExperiment)
    assert evaluation.teaching.verifier == "math"
    assert [Path(teacher).parent for teacher in evaluation.evaluation.teacher] == [own, own]


def test_a_language_model_is_one_judge_more_with_a_table_of_its_own(monkeypatch, tmp_path):
    model = judge_noise.training(tmp_path / "made", tmp_path, 3, judge_noise.MODEL, 30, [])
    config = compose(model[4:], assume(0), servers=1).config
    assert isinstance(config, GRPOExperiment)
    assert [spec.model for spec in server_layout(config)][-1] == f"{tmp_path}/made/world/judge"
    ran = commands_of(monkeypatch)
    options = ("--seeds", "0", "--flip-rates", "0", "--model-judge", "--output", str(tmp_path))
    with pytest.raises(SystemExit, match="no seed has finished"):
        called(monkeypatch, judge_noise, *options)
    judge = ran["language_model_that_judges"]
    assert judge[1:] == ["-m", "custom_data.world.judging", "--world", str(tmp_path / "0" / "world")]
    assert list(ran) == [
        *("world", "quickstart_sft", "language_model_that_judges"),
        *("flipped_0", "language_model", "evaluation_flipped_0_language_model"),
    ]
    recipes = [ran[name][4].rpartition("/")[2] for name in ("flipped_0", "language_model")]
    assert recipes == ["quickstart_judge.yaml", "quickstart_model_judge.yaml"]
    finished(tmp_path / "0", {FLIPPED[0]: 0.9, judge_noise.MODEL: 0.8})
    called(monkeypatch, judge_noise, *options, "--record", str(tmp_path))
    assert [row[:2] for row in json.loads((tmp_path / "judge-model.json").read_text())["rows"]] == [
        ["student alone", "40.0%"],
        ["0% wrong", "90.0%"],
        ["by a language model", "80.0%"],
    ]


def test_worlds_that_there_are_are_taken_and_few_steps_where_asked(monkeypatch, tmp_path):
    for part in ("sft", "world"):
        (tmp_path / "made" / "4" / part).mkdir(parents=True)
    (tmp_path / "made" / "4" / "world" / "world.json").write_text("{}")
    ran = commands_of(monkeypatch)
    options = ("--seeds", "4", "--output", str(tmp_path / "own"), "--worlds", str(tmp_path / "made"), "--smoke")
    with pytest.raises(SystemExit, match="no warmed-up teacher"):
        called(monkeypatch, judge_noise, *options)
    (tmp_path / "made" / "4" / "sft" / "finished.json").write_text("{}")
    with pytest.raises(SystemExit, match="no seed has finished"):
        called(monkeypatch, judge_noise, *options, "--port", "9000")
    commands = [*ran.values()]
    assert len(commands) == len(judge_noise.FLIP_RATES) + 1
    assert all({f"workspace={tmp_path / 'made' / '4'}", "vllm_port=9000"} <= {*command} for command in commands)
    assert all("max_steps=3" in command for command in commands[:-1])
    assert "eval_max_samples=16" in commands[-1]
