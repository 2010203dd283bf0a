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

from trainers.confidence_intervals import UNKNOWN, Estimate
from trainers.plotting import (
    accuracy_bars,
    differences,
    gain_by_length,
    gain_by_part,
    learning_curves,
    length_by_baseline,
    several_seeds,
    student_matrix,
    token_bars,
)
from trainers.plotting.style import new_figure, percent
from trainers.plotting.training import PANELS, read_metrics, series, smooth, spread_over_students


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


def test_the_spread_over_students_is_that_of_those_met_so_far():
    rows = [{"step": step, "teaching/fix_rate": 0.5, "teaching/by_student/a/fix_rate": 0.4} for step in range(1, 9)]
    assert spread_over_students(rows, "teaching/fix_rate")[3] == 0
    for row in rows[2:]:
        row |= {"teaching/by_student/b/fix_rate": 0.7, "teaching/by_student/b/fix_rate/x": 9.0}
    steps, low, high, students = spread_over_students(rows, "teaching/fix_rate")
    assert steps.tolist() == list(range(1, 9))
    assert low == pytest.approx(0.4)
    assert high == pytest.approx([0.4] * 2 + [0.7] * 6)
    assert students == 2
    assert spread_over_students(rows, "reward")[3] == 0


def test_curves_of_a_pool_have_bands(tmp_path):
    rows = _rows(8)
    learning_curves(rows, tmp_path / "one.png")
    for row in rows:
        row |= {f"teaching/by_student/{name}/taught_accuracy": at for name, at in (("a", 0.1), ("b", 0.9))}
    learning_curves(rows, tmp_path / "two.png")
    assert _ink(tmp_path / "two.png") > 1.1 * _ink(tmp_path / "one.png")


def test_a_map_of_students_has_a_cell_for_every_pair(tmp_path):
    cell = {"student alone": Estimate(0.2, 0.1, 0.3, 9), "T": Estimate(0.8, 0.7, 0.9, 9)}
    accuracy = {"a": cell, "b (held out)": cell | {"T": UNKNOWN}, "mean": cell}
    student_matrix(
        accuracy, {name: {"T": cells["T"]} for name, cells in accuracy.items()}, tmp_path / "m.png", students=2
    )
    assert _ink(tmp_path / "m.png") > 0.2
    alone = {name: {"student alone": cells["student alone"]} for name, cells in accuracy.items()}
    student_matrix(alone, {name: {} for name in accuracy}, tmp_path / "alone.png", students=2)
    assert imread(tmp_path / "alone.png").shape[0] < imread(tmp_path / "m.png").shape[0]


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
    mean = Estimate(30.0, 25.0, 35.0, 2)
    means = {"SFT": (mean, mean), "GRPO": (UNKNOWN, mean)}
    length_by_baseline({"SFT": ([30, 40, 35], [30, 31]), "GRPO": ([], [25.0])}, means, tmp_path / "l.png")
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


def _drawn(monkeypatch, draw, *arguments, **options):
    """The axis of a figure that is drawn and not saved."""
    figures = []
    monkeypatch.setattr("trainers.plotting.results.save", lambda figure, _: figures.append(figure))
    draw(*arguments, Path("none.png"), **options)
    figures[0].canvas.draw()
    return figures[0]


def test_an_arm_without_results_has_room_of_its_own(monkeypatch):
    known = Estimate(0.5, 0.4, 0.6, 9)
    [axis] = _drawn(monkeypatch, accuracy_bars, {"student alone": known, "failed": UNKNOWN}).axes
    low, high = sorted(axis.get_ylim())
    assert low < 0 < 1 < high - 0.2


def test_mean_lengths_are_those_of_the_table(monkeypatch):
    mean = Estimate(12.0, 10.0, 14.0, 2)
    [axis] = _drawn(monkeypatch, length_by_baseline, {"T": ([10, 10, 10, 30], [])}, {"T": (mean, UNKNOWN)}).axes
    diamonds = [list(line.get_xdata()) for line in axis.lines if line.get_marker() == "D"]
    assert [xs for xs in diamonds if xs] == [[12.0]]


def test_one_question_is_one_question(monkeypatch):
    gains = {"easy": Estimate(0.5, 0.4, 0.6, 1), "hard": Estimate(0.5, 0.4, 0.6, 2)}
    [axis] = _drawn(monkeypatch, gain_by_part, {"T": gains}, heading="Gain by level").axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["easy\n1 question", "hard\n2 questions"]


def test_long_names_and_many_arms_hide_no_point(monkeypatch):
    parts = {name: Estimate(0.5, 0.4, 0.6, 9) for name in ("intermediate_algebra", "counting_and_probability")}
    arms = {f"/a/path/that/is/much/longer/than/there/is/room/for/checkpoint-{step}": parts for step in range(8)}
    figure = _drawn(monkeypatch, gain_by_part, arms, heading="Gain by level")
    [axis], [legend] = figure.axes, figure.legends
    inside = axis.get_window_extent()
    assert not legend.get_window_extent().overlaps(inside)
    assert inside.height > 0.4 * figure.bbox.height
    labels = [text.get_window_extent() for text in axis.get_xticklabels()]
    assert all(label.y0 >= legend.get_window_extent().y1 for label in labels)
    places = [line.get_xdata() for line in axis.lines if line.get_marker() == "o"]
    assert max(xs[0] for xs in places) < min(xs[1] for xs in places)
    width = _drawn(monkeypatch, differences, dict.fromkeys(arms, parts["intermediate_algebra"]), reference="x").axes[0]
    assert width.get_window_extent().width > 0.4 * width.figure.bbox.width


def test_percentages_are_not_rounded_to_others():
    _, (axis,) = new_figure(1, 1, (4, 3))
    percent(axis)
    assert [axis.yaxis.get_major_formatter()(share) for share in (0.025, 0.175, 0.3, 1)] == [
        "2.5%",
        "17.5%",
        "30%",
        "100%",
    ]


def test_parts_of_lengths_are_drawn_where_there_are_lessons(monkeypatch):
    gain = Estimate(0.5, 0.4, 0.6, 9)
    arms = {"T": ([5.0, 7.0, 300.0], [0.0, 1.0, 1.0], {"1 to 8 tokens": gain, "257 to 512 tokens": gain})}
    [axis] = _drawn(monkeypatch, gain_by_length, arms).axes
    low, high = axis.get_xlim()
    assert axis.get_xscale() == "log"
    drawn = [x for line in axis.lines[1:] for x in line.get_xdata()]
    assert low < min(drawn)
    assert max(drawn) < high


def test_means_over_a_few_questions_are_not_drawn_and_this_is_said(monkeypatch):
    one, nine = Estimate(0.5, -0.97, 0.97, 1), Estimate(0.5, 0.4, 0.6, 9)
    lengths, gains = [5.0, 300.0], [0.0, 1.0]
    arms = {
        "few": (lengths, gains, {"1 to 8 tokens": one, "257 to 512 tokens": one}),
        "some": (lengths, gains, {"1 to 8 tokens": one, "257 to 512 tokens": nine}),
        "all": (lengths, gains, {"1 to 8 tokens": nine, "257 to 512 tokens": nine}),
    }
    few, some, everything = _drawn(monkeypatch, gain_by_length, arms).axes
    assert [text.get_text() for text in few.texts] == ["fewer than 5 questions of each length: nothing is drawn"]
    assert [text.get_text() for text in some.texts] == ["1 of 2 lengths without a mean: fewer than 5 questions"]
    assert not everything.texts
    # The line at 0, the lessons, and for each mean a bar and its interval.
    assert [len(axis.lines) for axis in (few, some, everything)] == [1, 4, 6]


def test_no_results_are_no_error(tmp_path):
    accuracy_bars({}, tmp_path / "a.png")
    length_by_baseline({}, {}, tmp_path / "l.png")
    gain_by_part({}, tmp_path / "g.png", heading="Gain by level")
    token_bars({}, tmp_path / "t.png")
    gain_by_length({}, tmp_path / "b.png")
    differences({}, tmp_path / "d.png", reference="student alone")
    assert len(list(tmp_path.iterdir())) == 6


def test_drawing_needs_neither_pyplot_nor_torch():
    code = "import sys, trainers.plotting; print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["False", "False"]
