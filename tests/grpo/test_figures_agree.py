"""The figures of the worked example are the same wherever a training shows them.

Those of tests/teaching/test_worked_example.py, worked out on paper, are read back from metrics.jsonl, from W&B's own
file, from the line of the step, and from what the learning curves draw. The rollout is logged as the trainer logs it.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import WandbCallback

from tests.support.wandb_offline import logged
from tests.teaching.test_worked_example import METRICS, rewarded
from trainers.callbacks import MetricsFile, StepLine
from trainers.grpo.lesson_batches import LessonBatchMaker
from trainers.grpo.rollouts import Rollout
from trainers.grpo.step_metrics import StepMetrics
from trainers.plotting import learning_curves
from trainers.plotting.training import PANELS

TEACHING = {f"teaching/{name}": value for name, value in METRICS.items()}
ROLLOUT = {
    # One of the four groups that count earned the same throughout. The dropped one is not informative either, but
    # nothing is known of it.
    "frac_reward_zero_std": 1 / 4,
    "teaching/uninformative_groups": 1,
    "teaching/by_student/ann/accuracy_gain": 4 / 10,
    "teaching/by_student/bob/accuracy_gain": -2 / 7,
    "generated_tokens": 76 + 16 + 651 + 77,
    "generated_tokens/teaching": 651,
    "rollout_tokens_per_s": 820 / 4,
    "time/rollout_s": 4,
    "servers_idle/teacher": 1 / 8,
}
LINE = {"alone": 9 / 17, "taught": 11 / 17, "fixed": 4 / 8, "harmed": 2 / 17, "leaks": 1 / 11, "length": 49.9}


@dataclass(frozen=True)
class Shown:
    """The traces of a logged step: its row of metrics, what W&B has of it, its line, and the curves."""

    row: dict[str, Any]
    history: dict[str, Any]
    line: str
    curves: Figure


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """All that a training shows of the worked example."""
    import wandb

    directory = tmp_path_factory.mktemp("training")
    history, state = StepMetrics(), TrainerState(global_step=7, max_steps=9, is_world_process_zero=True)
    made = LessonBatchMaker(str(directory), 0, 0.0, 1, filler_id=9)(
        6, Rollout(rewarded(), 4.0, {"teacher": 1 / 8}, students=("ann", "bob"))
    )
    history.add(made.metrics | {"time/idle_trainer_s": 0.0}, made.weights)
    logs = history.take([], steps_per_rollout=1, steps_left=2)
    lines: list[str] = []
    figures: list[Figure] = []
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {"WANDB_MODE": "offline", "WANDB_DIR": str(directory), "WANDB_SILENT": "true"}.items():
            patched.setenv(name, value)
        patched.setattr(
            logging.getLogger("trainers.callbacks"), "info", lambda text, *values: lines.append(text % values)
        )
        patched.setattr("trainers.plotting.training.save", lambda figure, _: figures.append(figure))
        wandb.init(project="worked")
        callback = WandbCallback()
        callback._initialized = True
        arguments: Any = TrainingArguments.__new__(TrainingArguments)
        for each in (MetricsFile(str(directory)), StepLine(), callback):
            each.on_log(arguments, state, TrainerControl(), logs=dict(logs))
        wandb.finish()
        learning_curves(directory / "metrics.jsonl", Path("none.png"))
    [row] = (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    [written] = logged(directory)[0]
    return Shown(json.loads(row), written, lines[-1], figures[0])


def test_the_row_of_metrics_has_every_figure(shown: Shown) -> None:
    expected = TEACHING | ROLLOUT | {"step": 7}
    assert {name: shown.row[name] for name in expected} == pytest.approx(expected)


def test_wandb_has_every_figure(shown: Shown) -> None:
    expected = {f"train/{name}": value for name, value in (TEACHING | ROLLOUT).items()} | {"train/global_step": 7}
    assert {name: shown.history[name] for name in expected} == pytest.approx(expected)


def test_the_line_of_the_step_has_the_figures_to_follow_a_run_by(shown: Shown) -> None:
    assert shown.line.startswith("step 7/9  ")
    assert [part for part in shown.line.split("  ")[1:] if part.split()[0] in LINE] == [
        f"{name} {value:.3g}" for name, value in LINE.items()
    ]


def test_the_curves_draw_the_figures(shown: Shown) -> None:
    drawn = {}
    for panel, axis in zip(PANELS, shown.curves.axes, strict=True):
        by_colour = {curve.colour: curve.key for curve in panel.curves}
        for line in axis.lines:
            if line.get_marker() == "o":
                drawn[by_colour[line.get_color()]] = list(zip(line.get_xdata(), line.get_ydata(), strict=True))
    expected = {curve.key for panel in PANELS for curve in panel.curves} & TEACHING.keys()
    assert len(expected) >= 9
    assert drawn.keys() == expected
    for key in expected:
        assert drawn[key] == [pytest.approx((7, TEACHING[key]))], key
