"""Figures: the numbers that are drawn, and that a readable PNG comes out without a display."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from trainers.evaluation.statistics import UNKNOWN, Estimate
from trainers.plots import (
    accuracy_bars,
    differences,
    gain_by_length,
    gain_by_part,
    learning_curves,
    length_by_baseline,
    several_seeds,
    token_bars,
)
from trainers.plots.training import PANELS, read_metrics, series, smooth


def _ink(path: Path) -> float:
    """Share of pixels that are not white."""
    return float((imread(path)[..., :3] < 0.95).any(axis=2).mean())


def _rows(steps: int) -> list[dict[str, float]]:
    keys = [curve.key for panel in PANELS for curve in panel.curves]
    return [{"step": step, "time": 0.0} | dict.fromkeys(keys, 0.5 + 0.4 * step / steps) for step in range(1, steps + 1)]


def test_series_takes_the_last_value_logged_of_a_step_in_order_of_steps():
    rows = [
        {"step": 2, "reward": 0.2},
        {"step": 1, "reward": 0.1},
        {"step": 2, "reward": 0.3},
        {"step": 2, "eval_loss": 1.0},
        {"step": 3, "reward": math.nan},
        {"step": 4, "reward": None},
    ]
    steps, values = series(rows, "reward")
    assert steps.tolist() == [1, 2]
    assert values.tolist() == [0.1, 0.3]


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "reward": 0.5}\n{"step": 2, "rew\n{"step": 2, "reward": 0.75}\n')
    assert series(read_metrics(path), "reward")[1].tolist() == [0.5, 0.75]


def test_smoothing_keeps_a_constant_and_evens_out_noise():
    steps = np.arange(1.0, 101.0)
    assert smooth(steps, np.full(100, 0.7)) == pytest.approx(0.7)
    noise = np.random.default_rng(0).standard_normal(100)
    assert smooth(steps, noise).std() < 0.5 * noise.std()
    assert smooth(steps[:2], noise[:2]).tolist() == noise[:2].tolist()


def test_learning_curves_draw_every_panel_that_was_logged(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(row) + "\n" for row in _rows(40)))
    full, empty = tmp_path / "plots" / "full.png", tmp_path / "plots" / "empty.png"
    learning_curves(metrics, full, references={"SFT-only teacher": 0.28})
    learning_curves([], empty)
    assert imread(full).shape[:2] == (1152, 2160)
    assert _ink(full) > 1.5 * _ink(empty)


def test_one_step_is_enough(tmp_path):
    learning_curves(_rows(1), tmp_path / "one.png")
    assert _ink(tmp_path / "one.png") > 0.01


def test_results_of_an_evaluation(tmp_path):
    known = Estimate(0.5, 0.4, 0.6, 100)
    accuracy_bars(
        {"student alone": known, "GRPO teacher after many steps": known, "failed": UNKNOWN}, tmp_path / "a.png"
    )
    length_by_baseline({"SFT": ([30, 40, 35], [30, 31]), "GRPO": ([], [25.0])}, tmp_path / "l.png")
    gain_by_part(
        {"GRPO": {"easy": known, "hard": UNKNOWN}, "SFT": {"easy": known}}, tmp_path / "g.png", heading="Gain by level"
    )
    token_bars({"student alone": (known, None), "GRPO": (known, UNKNOWN)}, tmp_path / "t.png")
    against = {"GRPO": ([5.0, 40.0], [0.0, 1.0], {"1 to 8 tokens": known}), "SFT": ([], [], {})}
    gain_by_length(against, tmp_path / "b.png")
    differences({"GRPO": known, "SFT": UNKNOWN}, tmp_path / "d.png", reference="student alone")
    several_seeds(
        {"taught": [[0.1, 0.2, 0.3], [0.2, 0.4]]}, tmp_path / "s.png", heading="Accuracy", unit="share", share=True
    )
    for name in "algstbd":
        assert _ink(tmp_path / f"{name}.png") > 0.01


def test_no_results_are_no_error(tmp_path):
    accuracy_bars({}, tmp_path / "a.png")
    length_by_baseline({}, tmp_path / "l.png")
    gain_by_part({}, tmp_path / "g.png", heading="Gain by level")
    token_bars({}, tmp_path / "t.png")
    gain_by_length({}, tmp_path / "b.png")
    differences({}, tmp_path / "d.png", reference="student alone")
    assert len(list(tmp_path.iterdir())) == 6


def test_drawing_needs_neither_pyplot_nor_torch():
    code = "import sys, trainers.plots; print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["False", "False"]
