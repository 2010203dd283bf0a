"""A checkpoint that cannot be written replaces none that could, and a full disk costs it alone."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import PartialState
from transformers import TrainingArguments

from tests.faults.test_checkpoints import fill_in
from tests.support.small_disk import small_disk
from trainers.grpo.checkpoint_files import Progress, load_progress
from trainers.output.checkpoints import MANIFEST, newest_whole
from trainers.training.whole_checkpoints import WholeCheckpoints


class Saver:
    """As much of transformers' trainer as saves a checkpoint."""

    def __init__(self, output: Path, kilobytes: int) -> None:
        self.args = SimpleNamespace(output_dir=str(output))
        self.state = SimpleNamespace(global_step=0)
        self._kilobytes = kilobytes

    def _save_checkpoint(self, *_: Any) -> None:
        checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        fill_in(checkpoint)
        (checkpoint / "optimizer.pt").write_bytes(b"o" * 1024 * self._kilobytes)


class SavesWhole(WholeCheckpoints, Saver):  # type: ignore[misc]
    """The mechanism on top of it."""

    __init__ = Saver.__init__

    def at(self, step: int) -> None:
        """Save at a step."""
        self.state.global_step = step
        self._save_checkpoint(None, None)


@pytest.fixture
def saver(monkeypatch: pytest.MonkeyPatch) -> Any:
    PartialState(cpu=True)
    # `Trainer` stands between the two, and does nothing here.
    monkeypatch.setattr(WholeCheckpoints.__mro__[1], "_save_checkpoint", Saver._save_checkpoint)
    return SavesWhole


@pytest.mark.fault("a full disk under checkpoints", "the one that does not fit costs itself alone, and is told")
def test_a_full_disk_costs_a_checkpoint_and_not_the_one_before_nor_the_training(
    saver: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path, 400) as disk:
        trainer = saver(disk, kilobytes=150)
        trainer.at(1)
        trainer.at(2)
        # What is told before it is begun: the last one tells how large they are.
        assert newest_whole(disk) == (disk / "checkpoint-2", {})
        trainer.at(3)
        assert "checkpoint-3 was not begun: checkpoint-2 has" in caplog.text
        # And what no estimate foresees: the first one, and those of a quota.
        trainer._kilobytes = 900
        (disk / "checkpoint-1/optimizer.pt").unlink()
        trainer.at(4)
        assert f"{disk}/checkpoint-4 could not be written" in caplog.text
        assert newest_whole(disk) == (disk / "checkpoint-2", {})
        assert not (disk / "checkpoint-4").exists()
        trainer._kilobytes = 10
        trainer.at(5)
        assert newest_whole(disk)[0] == disk / "checkpoint-5"
        # One of the same step, which cannot be written, does not replace the one that could.
        trainer._kilobytes, trainer._step_saved = 900, None
        (disk / "checkpoint-2/optimizer.pt").unlink()
        trainer.at(5)
        assert newest_whole(disk) == (disk / "checkpoint-5", {})


def test_other_errors_end_the_run_and_leave_the_checkpoint_before(saver: Any, tmp_path: Path) -> None:
    trainer = saver(tmp_path, kilobytes=1)
    trainer.at(1)
    trainer._kilobytes = None
    with pytest.raises(TypeError):
        trainer.at(2)
    assert newest_whole(tmp_path) == (tmp_path / "checkpoint-1", {})
    assert not (tmp_path / "checkpoint-2").exists()


def test_a_step_is_saved_once(saver: Any, tmp_path: Path) -> None:
    trainer = saver(tmp_path, kilobytes=1)
    trainer.at(1)
    before = (tmp_path / "checkpoint-1" / MANIFEST).stat().st_mtime_ns
    trainer.at(1)
    assert (tmp_path / "checkpoint-1" / MANIFEST).stat().st_mtime_ns == before


@pytest.mark.fault("rollouts.json of a checkpoint torn", "the rollout that was ahead is run anew, and that is told")
@pytest.mark.parametrize("content", ["", '{"weight_version": 3, "ahe', "[]", "null"])
def test_a_record_of_rollouts_that_was_cut_off_costs_the_rollout_that_was_ahead(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "rollouts.json").write_text(content)
    assert load_progress(tmp_path) == Progress()
    assert "rollouts.json is cut off" in caplog.text


def test_a_checkpoint_of_transformers_itself_is_whole(tmp_path: Path) -> None:
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", max_steps=3, save_total_limit=2)
    trainer = WholeCheckpoints(torch.nn.Linear(2, 2), arguments, train_dataset=[])
    trainer.create_optimizer_and_scheduler(3)
    for step in (1, 2, 3):
        trainer.state.global_step = step
        trainer._save_checkpoint(trainer.model, None)
    assert newest_whole(tmp_path) == (tmp_path / "checkpoint-3", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-3"]
    listed = json.loads((tmp_path / "checkpoint-3" / MANIFEST).read_text())["files"]
    assert {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "model.safetensors"} <= set(listed)
    states = tmp_path / "checkpoint-3" / "optimizer.pt"
    states.write_bytes(states.read_bytes()[:-1])
    assert newest_whole(tmp_path)[0] == tmp_path / "checkpoint-2"
