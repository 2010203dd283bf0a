"""Figures: what is drawn is the data, and a PNG comes out without a display."""

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
from trainers.jsonl import whole_rows
from trainers.plotting import (
    accuracy_bars,
    differences,
    gain_by_length,
    gain_by_part,
    learning_curves,
    length_by_baseline,
    several_seeds,
    student_matrix,
    students_by_ability,
    token_bars,
)
from trainers.plotting.style import GREEN, GREY, VERMILION, new_figure, percent
from trainers.plotting.training import PANELS, series, smooth, spread_over_students


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


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "reward": 0.5}\n{"step": 2, "rew\n{"step": 2, "reward": 0.75}\n')
    assert series(whole_rows(path), "reward")[1].tolist() == [0.5, 0.75]


def test_smoothing_keeps_a_constant_and_evens_out_noise():
    steps = np.arange(1.0, 101.0)
    assert smooth(steps, np.full(100, 0.7)) == pytest.approx(0.7)
    noise = np.random.default_rng(0).standard_normal(100)
    assert smooth(steps, noise).std() < 0.5 * noise.std()
    assert smooth(steps[:2], noise[:2]).tolist() == noise[:2].tolist()


def test_pictures_are_written_as_png(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(row) + "\n" for row in _rows(3)))
    learning_curves(metrics, tmp_path / "plots" / "curves.png")
    assert imread(tmp_path / "plots" / "curves.png").shape[:2] == (1152, 2160)


def _drawn(monkeypatch, draw, *arguments, **options):
    """The figure that is drawn and not saved."""
    figures = []
    for module in ("results", "students", "training"):
        monkeypatch.setattr(f"trainers.plotting.{module}.save", lambda figure, _: figures.append(figure))
    draw(*arguments, Path("none.png"), **options)
    figures[0].canvas.draw()
    return figures[0]


def _lines(axis, **properties):
    """The points of the lines of an axis that look so, in order; those without points left out."""
    chosen = [line for line in axis.lines if all(getattr(line, f"get_{k}")() == v for k, v in properties.items())]
    drawn = [list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in chosen]
    return [[(float(x), float(y)) for x, y in points] for points in drawn if points]


def _about(*points):
    return [pytest.approx(point) for point in points]


def _texts(axis):
    return [text.get_text() for text in axis.texts]


def _legend(axis):
    return [text.get_text() for legend in axis.figure.legends for text in legend.get_texts()]


def test_learning_curves_draw_what_was_logged(monkeypatch):
    rows = [{"step": step, "reward": 0.1 * step, "teaching/fix_rate": 0.5, "kl": 0.02} for step in range(1, 41)]
    axes = _drawn(monkeypatch, learning_curves, rows, references={"SFT-only teacher": 0.28}).axes
    reward, accuracy, repair, length, *_, kl = axes
    [dots], [line] = _lines(reward, marker="o"), _lines(reward, marker="None")
    assert dots == _about(*((step, 0.1 * step) for step in range(1, 41)))
    assert line[19] == pytest.approx((20, 2.0))
    assert line[0][1] > 0.1
    assert _lines(accuracy) == [_about((0, 0.28), (1, 0.28))]
    assert _texts(accuracy) == ["not logged", "SFT-only teacher"]
    assert _lines(repair, marker="None") == [_about(*((step, 0.5) for step in range(1, 41)))]
    assert _texts(length) == ["not logged"]
    assert [label.get_text() for label in repair.get_legend().get_texts()] == ["wrong alone, right when taught"]
    assert _lines(kl, marker="None")[0][0] == pytest.approx((1, 0.02))
    assert [axis.get_title(loc="left") for axis in axes] == [panel.title for panel in PANELS]


def test_curves_of_a_distillation_show_how_far_the_mentor_is(monkeypatch):
    rows = [{"step": step, "reward": 1.0, "distillation/reverse_kl": 0.5 / step} for step in range(1, 5)]
    *_, last = _drawn(monkeypatch, learning_curves, rows).axes
    assert last.get_title(loc="left") == "Distance from the mentor"
    assert _lines(last, marker="o") == [_about(*((step, 0.5 / step) for step in range(1, 5)))]


def test_curves_of_a_pool_have_bands_from_the_least_student_to_the_greatest(monkeypatch):
    rows = _rows(8)
    for row in rows:
        row |= {f"teaching/by_student/{name}/taught_accuracy": at for name, at in (("a", 0.1), ("b", 0.9))}
    accuracy = next(
        axis for axis in _drawn(monkeypatch, learning_curves, rows).axes if "ccuracy" in axis.get_title("left")
    )
    corners = [path.vertices for band in accuracy.collections for path in band.get_paths()]
    [band] = [corner for corner in corners if len(corner)]
    assert (band[:, 0].min(), band[:, 0].max()) == (1, 8)
    assert (band[:, 1].min(), band[:, 1].max()) == (pytest.approx(0.1), pytest.approx(0.9))


def test_a_lonely_leak_stands_below_the_legend_of_its_panel(monkeypatch):
    rows = [{"step": step, "teaching/blind_leak_rate": step == 50 and 1 / 6, "kl": 0.1} for step in range(1, 61)]
    rows = [row | dict.fromkeys(("teaching/leak_rate", "teaching/format_failure_rate"), 0.0) for row in rows]
    figure = _drawn(monkeypatch, learning_curves, rows)
    figure.canvas.draw()
    panel = figure.axes[4]
    legend = panel.get_legend().get_window_extent()
    leak = panel.transData.transform((50, 1 / 6))
    assert panel.bbox.contains(*leak)
    assert not legend.contains(*leak)


def test_what_stands_in_brackets_behind_a_name_is_not_broken(monkeypatch):
    cell = {"student alone": Estimate(0.2, 0.1, 0.3, 9)}
    cells = {"first kind (held out)": cell, "mean": cell}
    [axis] = _drawn(monkeypatch, student_matrix, cells, {name: {} for name in cells}, students=1).axes
    assert axis.get_xticklabels()[0].get_text().replace("\u00a0", " ") == "first kind\n(held out)"


def test_a_map_of_students_has_a_cell_for_every_pair(monkeypatch):
    cell = {"student alone": Estimate(0.2, 0.1, 0.3, 9), "T": Estimate(0.8, 0.7, 0.9, 9)}
    accuracy = {"a": cell, "b (held out)": cell | {"T": UNKNOWN}, "mean": cell}
    gain = {name: {"T": Estimate(0.6, 0.5, 0.7, 9)} for name in accuracy}
    shares, gains = _drawn(monkeypatch, student_matrix, accuracy, gain, students=2).axes
    assert np.ma.filled(shares.images[0].get_array(), -1).tolist() == [[0.2, 0.2, 0.2], [0.8, -1, 0.8]]
    assert gains.images[0].get_array().tolist() == [[0.6, 0.6, 0.6]]
    alone, taught = ["20.0%", "[10.0%, 30.0%]"], ["80.0%", "[70.0%, 90.0%]"]
    assert _texts(shares) == [*alone * 3, *taught, "n/a", *taught]
    assert _texts(gains) == ["+60.0", "[+50.0, +70.0]"] * 3
    assert [label.get_text() for label in shares.get_yticklabels()] == ["student alone", "T"]
    alone = {name: {"student alone": cells["student alone"]} for name, cells in accuracy.items()}
    assert len(_drawn(monkeypatch, student_matrix, alone, {name: {} for name in accuracy}, students=2).axes) == 1


def test_gain_and_length_are_drawn_over_the_ability_of_each_student(monkeypatch):
    ability = {"b": Estimate(0.75, 0.7, 0.8, 9), "a": Estimate(0.25, 0.2, 0.3, 9), "lost": UNKNOWN}
    gain = {
        "b": {"T": Estimate(0.1, 0.0, 0.2, 9)},
        "a": {"T": Estimate(0.5, 0.4, 0.6, 9)},
        "lost": {"T": Estimate(0.9, 0.8, 1.0, 9)},
    }
    length = {"b": {"T": UNKNOWN}, "a": {"T": Estimate(40, 30, 50, 9)}, "lost": {"T": UNKNOWN}}
    points, tokens = _drawn(monkeypatch, students_by_ability, ability, gain, length).axes
    assert _lines(points, marker="o") == [_about((0.25, 50), (0.75, 10))]
    assert _lines(tokens, marker="o") == [_about((0.25, 40))]
    intervals = [segment.tolist() for segment in points.collections[0].get_segments()]
    assert intervals == [[[0.25, 40], [0.25, 60]], [[0.75, 0], [0.75, 20]]]
    assert _texts(points) == ["a", "b"]


def test_every_metric_has_its_panel(monkeypatch):
    keys = [curve.key for panel in PANELS for curve in panel.curves]
    rows = [{"step": step} | {key: index + step for index, key in enumerate(keys)} for step in (1, 2, 3)]
    axes = _drawn(monkeypatch, learning_curves, rows).axes
    drawn = [points[0][1] for axis in axes for points in _lines(axis, marker="o")]
    assert drawn == list(range(1, len(keys) + 1))


def test_one_step_is_a_dot_that_can_be_seen(monkeypatch):
    axis = _drawn(monkeypatch, learning_curves, [{"step": 1, "reward": 0.5}]).axes[0]
    assert _lines(axis, marker="o") == [_about((1, 0.5))]
    assert [line.get_markersize() for line in axis.lines if line.get_marker() == "o"] == [5]


def test_bars_of_accuracy_have_their_intervals_and_the_student_alone_a_line(monkeypatch):
    arms = {"student alone": Estimate(0.5, 0.4, 0.6, 9), "GRPO": Estimate(0.75, 0.7, 0.8, 8), "failed": UNKNOWN}
    [axis] = _drawn(monkeypatch, accuracy_bars, arms).axes
    assert [bar.get_width() for bar in axis.patches] == [0.5, 0.75]
    assert _lines(axis, linestyle="-") == [_about((0.4, 0), (0.6, 0)), _about((0.7, 1), (0.8, 1))]
    assert _lines(axis, linestyle="--") == [_about((0.5, 0), (0.5, 1))]
    assert _texts(axis) == ["50.0%", "75.0%", "n/a"]
    assert [label.get_text() for label in axis.get_yticklabels()] == list(arms)
    assert "interval over 9 questions" in axis.get_xlabel()


def test_lengths_are_drawn_beside_their_means_on_the_side_of_the_student(monkeypatch):
    means = {"T": (Estimate(12.0, 10.0, 14.0, 2), Estimate(40.0, 35.0, 45.0, 3))}
    [axis] = _drawn(monkeypatch, length_by_baseline, {"T": ([10, 14], [40])}, means).axes
    right, wrong = _lines(axis, marker="D")
    assert (right, wrong) == (_about((12.0, -0.19)), _about((40.0, 0.19)))
    dots = _lines(axis, marker="o")
    assert [[x for x, _ in points] for points in dots] == [[10, 14], [40]]
    assert all(abs(y - side) < 0.12 for points, side in zip(dots, (-0.19, 0.19), strict=True) for _, y in points)
    assert _lines(axis, marker="None") == [_about((10, -0.19), (14, -0.19)), _about((35, 0.19), (45, 0.19))]
    assert _texts(axis) == ["12", "40"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["T"]
    assert _legend(axis) == ["student right alone", "student wrong alone"]


def test_gains_by_part_are_points_and_intervals(monkeypatch):
    gains = {"easy": Estimate(-0.1, -0.2, 0.1, 9), "hard": Estimate(0.5, 0.4, 0.6, 5)}
    gains |= {"rare": Estimate(0.0, -0.97, 0.97, 4), "unknown": UNKNOWN}
    [axis] = _drawn(monkeypatch, gain_by_part, {"T": gains}, heading="Gain by level").axes
    assert _lines(axis, marker="o") == [_about((0, -10), (1, 50))]
    zero, *intervals = _lines(axis, marker="None")
    assert zero == _about((0, 0), (1, 0))
    assert [label.get_text() for label in axis.get_xticklabels()][2:] == [
        "rare\n4 questions, too few",
        "unknown\n0 questions, too few",
    ]
    assert intervals == [_about((0, -20), (0, 10)), _about((1, 40), (1, 60))]


def test_differences_are_points_coloured_by_what_can_be_told(monkeypatch):
    arms = {
        "better": Estimate(0.1, 0.05, 0.15, 9),
        "worse": Estimate(-0.1, -0.15, -0.05, 9),
        "alike": Estimate(0.01, -0.02, 0.04, 9),
        "failed": UNKNOWN,
    }
    [axis] = _drawn(monkeypatch, differences, arms, reference="T").axes
    assert _lines(axis, marker="o") == [_about((10, 0)), _about((-10, 1)), _about((1, 2))]
    assert _lines(axis, marker="None")[1:] == [
        _about((5, 0), (15, 0)),
        _about((-15, 1), (-5, 1)),
        _about((-2, 2), (4, 2)),
    ]
    assert [line.get_color() for line in axis.lines if line.get_marker() == "o"] == [GREEN, VERMILION, GREY]
    assert _texts(axis) == ["+10.0", "-10.0", "+1.0", " n/a"]


def test_bars_of_tokens_are_those_of_solution_and_guidance(monkeypatch):
    arms = {"student alone": (Estimate(18.0, 17.0, 19.0, 9), None)}
    arms["GRPO"] = (Estimate(17.0, 16.0, 18.0, 9), Estimate(51.5, 49.0, 54.0, 9))
    [axis] = _drawn(monkeypatch, token_bars, arms).axes
    assert [(bar.get_width(), round(bar.get_y() + bar.get_height() / 2, 6)) for bar in axis.patches] == [
        (18.0, 0.0),
        (17.0, 0.8),
        (51.5, 1.2),
    ]
    assert _lines(axis, marker="None") == [
        _about((17, 0), (19, 0)),
        _about((16, 0.8), (18, 0.8)),
        _about((49, 1.2), (54, 1.2)),
    ]
    assert _texts(axis) == ["18", "17", "52"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["student alone", "GRPO"]
    assert _legend(axis) == ["solution tokens (student)", "guidance tokens (probe + teacher)"]


def test_gains_against_length_are_the_lessons_and_the_means_of_their_parts(monkeypatch):
    gain = Estimate(0.5, 0.4, 0.6, 9)
    [axis] = _drawn(monkeypatch, gain_by_length, {"T": ([4.0, 16.0], [0.0, 1.0], {"4 to 16 tokens": gain})}).axes
    [dots] = _lines(axis, marker="o")
    assert [x for x, _ in dots] == [pytest.approx(4, rel=0.03), pytest.approx(16, rel=0.03)]
    assert [y for _, y in dots] == [pytest.approx(0, abs=4), pytest.approx(100, abs=4)]
    _, mean, interval = _lines(axis, marker="None")
    assert mean == _about((3.5, 50), (16.5, 50))
    assert interval == _about((8, 40), (8, 60))


def test_several_seeds_are_lines_their_smoothed_mean_and_a_band(monkeypatch):
    curves = {"taught": [[0.2, 0.2, 0.2, 0.2], [0.4, 0.4, 0.4]], "alone": [[0.1, 0.3, 0.1]]}
    options = {"heading": "Accuracy", "unit": "share", "share": True, "references": {"best": 0.9}}
    [axis] = _drawn(monkeypatch, several_seeds, curves, steps=[10, 20, 30, 40], **options).axes
    first, second, mean, alone, smoothed, reference = _lines(axis)
    assert first == _about((10, 0.2), (20, 0.2), (30, 0.2), (40, 0.2))
    assert second[:3] == _about((10, 0.4), (20, 0.4), (30, 0.4))
    assert math.isnan(second[3][1])
    assert mean == _about((10, 0.3), (20, 0.3), (30, 0.3), (40, 0.2))
    assert alone == _about((10, 0.1), (20, 0.3), (30, 0.1))
    assert 0.1 < smoothed[0][1] < smoothed[1][1] < 0.3
    assert reference == _about((0, 0.9), (1, 0.9))
    [band] = axis.collections
    low, high = band.get_paths()[0].vertices.min(axis=0), band.get_paths()[0].vertices.max(axis=0)
    assert (tuple(low), tuple(high)) == (pytest.approx((10, 0.2)), pytest.approx((40, 0.4)))
    [legend] = axis.figure.legends
    assert _legend(axis) == ["taught (mean of 2 seeds ± 1 s.d.)", "alone (one seed)"]
    assert not legend.get_window_extent().overlaps(axis.get_window_extent())


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
    gains = {"easy": Estimate(0.5, 0.4, 0.6, 1), "hard": Estimate(0.5, 0.4, 0.6, 5)}
    [axis] = _drawn(monkeypatch, gain_by_part, {"T": gains}, heading="Gain by level").axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["easy\n1 question, too few", "hard\n5 questions"]


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
