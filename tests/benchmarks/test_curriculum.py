"""Ways to choose questions are compared where they have sampled equally many tokens."""

from __future__ import annotations

import json

import pytest

from scripts.benchmarks.learning import curriculum
from scripts.benchmarks.learning.overlap_learning import spread
from scripts.benchmarks.tools.commands import slug
from tests.support.studies import called, commands_of
from trainers.configuration import compose
from trainers.configuration.devices.machine import assume
from trainers.configuration.settings.experiments import GRPOExperiment

SAMPLED = dict(zip(curriculum.VARIANTS, (100, 200, 100, 250), strict=True))


def finished_run(directory, tokens):
    """Four steps of so many tokens, of which one was logged twice, and accuracies that grow by a tenth with each."""
    directory.mkdir(parents=True)
    rows = [{"step": 0, curriculum.HELD_OUT: 0.4}, {"step": 2, "generated_tokens": 9e9, "frac_reward_zero_std": 1.0}]
    for step in range(1, 5):
        rows.append({"step": step, "generated_tokens": tokens, "frac_reward_zero_std": 0.25})
        rows += [{"step": step, curriculum.HELD_OUT: 0.4 + step / 10}] if step % 2 == 0 else []
    (directory / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (directory / "finished.json").write_text("{}")


def test_accuracies_are_compared_at_equal_tokens(monkeypatch, tmp_path, caplog):
    options = ("--seeds", "0", "1", "--output", str(tmp_path), "--report-only", "--record", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    with pytest.raises(SystemExit, match="no seed has finished"):
        called(monkeypatch, curriculum, *options)
    for name, tokens in SAMPLED.items():
        finished_run(tmp_path / "0" / slug(name), tokens)
    called(monkeypatch, curriculum, *options)
    assert "left out, not finished: seeds [1]" in caplog.text
    report = (tmp_path / "curriculum.md").read_text()
    cells = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:] for line in report.splitlines()[2:6]}
    # 400 tokens are four steps of the plain variant, two of the second, and 1.6 of the fourth.
    assert [cells[name][0].split()[0] for name in SAMPLED] == ["80.0%", "60.0%", "80.0%", "56.0%"]
    assert cells["by difficulty, dynamic sampling"][1] == "-24.0"
    assert cells["by difficulty, dynamic sampling"][2] == "0 of 1 seed"
    assert cells["random, dynamic sampling"][4].split()[0] == "200"
    assert "after 400 sampled tokens" in report
    recorded = json.loads((tmp_path / "data/curriculum.json").read_text())
    assert [row[1] for row in recorded["rows"]] == ["80.0%", "60.0%", "80.0%", "56.0%"]
    assert (tmp_path / "curriculum.png").is_file()


def test_every_variant_is_accepted_and_differs_in_its_questions_alone(tmp_path):
    found = {}
    for name in curriculum.VARIANTS:
        words = curriculum.training(tmp_path, 3, name, 60, ())[2:]
        config = compose([word for word in words if not word.isdigit()], assume(0)).config
        assert isinstance(config, GRPOExperiment)
        assert config.trainer.eval_steps == config.trainer.save_steps == 10
        found[name] = config.flat()
    plain = found.pop(curriculum.PLAIN)
    for keys in found.values():
        differing = {key for key in keys if keys[key] != plain[key]} - {"output_dir"}
        assert differing <= {"question_order", "dynamic_sampling"}
        assert differing


def test_what_has_finished_is_not_run_again(monkeypatch, tmp_path):
    ran = commands_of(monkeypatch)
    for name in (curriculum.PLAIN, "by difficulty"):
        finished_run(tmp_path / "0" / slug(name), 100)
    with pytest.raises(SystemExit, match="no seed has finished"):
        called(monkeypatch, curriculum, "--seeds", "0", "--output", str(tmp_path), "--steps", "4")
    assert list(ran) == ["world", "quickstart_sft", "random_dynamic_sampling", "by_difficulty_dynamic_sampling"]
    assert [words[-1] for words in ran.values()][2:] == ["dynamic_sampling=true"] * 2


def test_a_spread_has_no_sign():
    assert spread([1.0, 3.0], "+.1f") == "+2.0 ± 1.4"
    assert spread([-2.0], "+.1f") == "-2.0"
