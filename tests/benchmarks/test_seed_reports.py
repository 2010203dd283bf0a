"""Reports over seeds: what has finished is reported, also while other seeds have not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from scripts.benchmarks.learning import overlap_learning, quickstart_seeds
from scripts.benchmarks.tools import arithmetic
from tests.support.evaluations import evaluated
from tests.support.studies import called
from trainers.evaluation.measures.summary import student_alone, taught_arm


def quickstart(directory: Path) -> None:
    """Write the files of a finished quickstart, as far as the report reads them."""
    alone, taught = evaluated(([False], [True]), ([True], [True]))
    arms = [student_alone(alone), *(taught_arm(name, alone, taught) for name in ("SFT", "GRPO"))]
    (directory / "evaluation").mkdir(parents=True)
    (directory / "rl").mkdir()
    (directory / "evaluation/summary.json").write_text(json.dumps({"arms": [arm.as_dict() for arm in arms]}))
    keys = [*quickstart_seeds.ACCURACIES.values(), *quickstart_seeds.LENGTHS.values()]
    lines = [json.dumps({"step": step} | dict.fromkeys(keys, 0.5)) for step in (1, 2)]
    (directory / "rl/metrics.jsonl").write_text("\n".join(lines))
    (directory / "seconds").write_text("100\n")


def test_quickstarts_that_have_finished_are_reported(monkeypatch, tmp_path, caplog):
    options = ("--seeds", "0", "1", "--output", str(tmp_path), "--report-only")
    with pytest.raises(SystemExit, match="no seed has finished"):
        called(monkeypatch, quickstart_seeds, *options)
    quickstart(tmp_path / "0")
    called(monkeypatch, quickstart_seeds, *options)
    assert "left out, not finished: seeds [1]" in caplog.text
    assert "| 0 | 50.0%" in (tmp_path / "seeds.md").read_text()
    assert (tmp_path / "seeds_accuracy.png").is_file()


def test_a_run_says_in_which_arithmetic_it_was_made(monkeypatch, tmp_path):
    environments = []
    monkeypatch.setattr(quickstart_seeds, "call", lambda *given: environments.append(given[2]))
    monkeypatch.setattr(arithmetic, "provenance", lambda: {"commit": "61270ee"})
    for threads, kernels in ((1, None), (2, "avx2")):
        quickstart_seeds.run(3, tmp_path / str(threads), quickstart_seeds.Arithmetic(threads, kernels), ())
    assert [environment["OMP_NUM_THREADS"] for environment in environments] == ["1", "2"]
    assert [environment.get("ATEN_CPU_CAPABILITY") for environment in environments] == [None, "avx2"]
    found = [json.loads((tmp_path / name / "origin.json").read_text()) for name in ("1", "2")]
    best = torch.backends.cpu.get_cpu_capability()
    assert [each["arithmetic"] for each in found] == [f"1 thread, {best}", "2 threads, AVX2"]
    assert found[0]["commit"] == "61270ee"


def test_runs_that_have_finished_are_reported(monkeypatch, tmp_path, caplog):
    for name in overlap_learning.VARIANTS:
        directory = tmp_path / "0" / overlap_learning.slug(name)
        directory.mkdir(parents=True)
        lines = [json.dumps({"step": step, "reward": step / 2, "step_time": 2.0}) for step in (1, 2)]
        (directory / "metrics.jsonl").write_text("\n".join(lines))
        (directory / "finished.json").write_text("{}")
    called(monkeypatch, overlap_learning, "--seeds", "0", "1", "--output", str(tmp_path), "--report-only")
    assert "left out, not finished: seeds [1]" in caplog.text
    assert "0.750" in (tmp_path / "overlap.md").read_text()
    assert (tmp_path / "overlap_seconds.png").is_file()
