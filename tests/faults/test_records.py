"""Records of a run outlive torn lines and full disks, and a card or a plot that fails ends no training."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainerState

from tests.support.lessons import group, lesson
from tests.support.small_disk import fill, small_disk
from trainers import teacher_grpo
from trainers.callbacks import MetricsFile, save_lessons
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.generation.api.usage import Account, Prices
from trainers.jsonl import whole_rows
from trainers.models import final_model
from trainers.models.model_card import last_metrics

STATE = TrainerState(is_world_process_zero=True)


def log(metrics: MetricsFile, step: int) -> None:
    """Log a step."""
    STATE.global_step = step
    metrics.on_log(None, STATE, None, logs={"loss": step / 2})  # type: ignore[arg-type]


@pytest.mark.fault(
    "metrics.jsonl torn at any place",
    "that line is cut off and told, no other is lost, the card can be written",
    sample=20,
)
def test_a_line_cut_anywhere_costs_that_line_alone(
    chance: random.Random, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "metrics.jsonl"
    for step in (1, 2, 3):
        log(MetricsFile(str(tmp_path)), step)
    whole = path.read_bytes()
    cut = chance.randrange(1, len(whole))
    path.write_bytes(whole[:cut])
    left = whole[:cut].count(b"\n")
    resumed = MetricsFile(str(tmp_path))
    resumed.on_train_begin(None, STATE, None)  # type: ignore[arg-type]
    log(resumed, 4)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [*range(1, left + 1), 4]
    assert last_metrics(path)["loss"] == 2.0
    assert ("ended in the middle of a line" in caplog.text) is (whole[cut - 1 : cut] != b"\n")


@pytest.mark.fault("a full disk under the metrics", "all rows are kept until they can be written, and it is told")
def test_a_full_disk_costs_no_row_of_metrics_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with small_disk(tmp_path, 64) as disk:
        metrics = MetricsFile(str(disk))
        log(metrics, 1)
        filler = fill(disk)
        for step in range(2, 100):
            log(metrics, step)
        assert f"{disk}/metrics.jsonl could not be written (No space left on device). → free some space" in caplog.text
        assert {row["step"] for row in whole_rows(metrics.path)} < set(range(100))
        assert metrics.path.read_bytes().endswith(b"\n")
        filler.unlink()
        log(metrics, 100)
        assert [row["step"] for row in whole_rows(metrics.path)] == list(range(1, 101))


@pytest.mark.fault("a full disk under lessons and charges", "told, and the run goes on")
def test_lessons_and_charges_on_a_full_disk_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with small_disk(tmp_path, 64) as disk:
        account = Account("student", Prices(1, 1), None, disk / "usage" / "student.json")
        fill(disk)
        save_lessons(str(disk), 3, [group(*(lesson([False], True, member=member) for member in range(40)))])
        account.note_rollout(0.5)
    assert "lessons could not be written" in caplog.text or "lessons/step_000003.jsonl could not" in caplog.text
    assert "usage" in caplog.text
    assert account.usage.rollout_usd == 0.5


@pytest.mark.fault("a model card or plot that raises", "a warning; the run is finished")
def test_a_card_or_plot_that_fails_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = compose(["quickstart_rl", f"output_dir={tmp_path}"], Machine(), 1).config
    trained: list[str] = []

    def fail(*_: Any) -> None:
        raise ValueError("no such thing")

    trainer = SimpleNamespace(
        train=lambda **_: trained.append("trained"),
        save_model=lambda _: trained.append("saved"),
        is_world_process_zero=lambda: True,
        state=SimpleNamespace(global_step=3),
        stopped_early=False,
        interrupted=False,
        close=lambda: trained.append("closed"),
    )
    monkeypatch.setattr(teacher_grpo, "build_trainer", lambda _: trainer)
    monkeypatch.setattr(teacher_grpo, "learning_curves", fail)
    monkeypatch.setattr(final_model, "write_card", fail)
    teacher_grpo.run(config)  # type: ignore[arg-type]
    assert trained == ["trained", "saved", "closed"]
    assert json.loads((tmp_path / "finished.json").read_text())["steps"] == 3
    assert caplog.text.count("ValueError: no such thing") == 2
