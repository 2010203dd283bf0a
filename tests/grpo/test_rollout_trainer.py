"""A rollout in the trainer: its times, its micro-batches by optimizer step, and which of them a resume takes."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainers.grpo.checkpoint_files import load_rollout_in_use, save_rollout_in_use
from trainers.grpo.overlap import LessonBatch
from trainers.grpo.rollout_trainer import RolloutTrainer
from trainers.grpo.step_metrics import StepMetrics
from trainers.grpo.trainer import TeacherGRPOTrainer
from trainers.grpo.trl.unpadded_trainer import LOSS_WEIGHT
from trainers.grpo.unpadded.micro_batches import optimizer_steps


def test_the_trainer_is_idle_while_it_waits_and_while_it_sends_weights() -> None:
    made: Any = object.__new__(RolloutTrainer)
    made._history = StepMetrics()
    made.schedule = SimpleNamespace(seconds_waited=lambda: 5.0)
    made.vllm_generation = SimpleNamespace(seconds=2.0, version=9, logprob_difference=1e-5)
    made._record(LessonBatch(3, [], {"teaching/fix_rate": 0.25}, weight_version=7, groups=1, lost=[]))
    # Two steps of 10 s share the 7 s of the rollout.
    assert made._history.take([9.0, 11.0], steps_per_rollout=2, steps_left=6) == {
        "teaching/fix_rate": 0.25,
        "time/sync_s": 2.0,
        "time/idle_trainer_s": 7.0,
        "teaching/weight_version_lag": 2.0,
        "weights/logprob_difference": 1e-5,
        "time/train_s": 6.5,
        "time/eta_s": 60.0,
    }


def test_what_was_not_measured_is_not_logged() -> None:
    made: Any = object.__new__(RolloutTrainer)
    made._history = StepMetrics()
    made.schedule = SimpleNamespace(seconds_waited=lambda: 0.0)
    made.vllm_generation = SimpleNamespace(seconds=0.5, version=9, logprob_difference=None)
    made._record(LessonBatch(3, [], {}, weight_version=None, groups=1, lost=["probe_timeout"]))
    assert made._history.take([], steps_per_rollout=1, steps_left=0) == {"time/sync_s": 0.5, "time/idle_trainer_s": 0.5}


def scored(lengths: list[int]) -> dict[str, Any]:
    """Return a scored rollout whose sequences have these lengths, and whose advantages are their numbers."""
    width = max(lengths)
    mask = torch.tensor([[1] * length + [0] * (width - length) for length in lengths])
    return {
        "prompt_ids": torch.ones(len(lengths), 1, dtype=torch.long),
        "prompt_mask": torch.ones(len(lengths), 1, dtype=torch.long),
        "completion_ids": mask.clone(),
        "completion_mask": mask,
        "advantages": torch.arange(float(len(lengths))),
    }


def cutting(accumulation: int, per_generation: int) -> Any:
    """Return as much of a trainer as cuts a rollout into micro-batches."""
    made: Any = object.__new__(TeacherGRPOTrainer)
    made.args = SimpleNamespace(
        gradient_accumulation_steps=accumulation, steps_per_generation=per_generation, seed=3, num_iterations=1
    )
    made.loss_type = "dapo"
    made._entropy_bonus_enabled = made.aux_loss_enabled = False
    made.top_entropy_quantile = 1.0
    made.state = SimpleNamespace(global_step=4)
    made.accelerator = SimpleNamespace(process_index=0, device="cpu", gather=lambda mine: mine)
    return made


def members(batches: list[dict[str, Any]]) -> list[list[int]]:
    """Return which sequences each micro-batch has."""
    return [batch["advantages"].int().tolist() for batch in batches]


def test_sequences_that_chance_puts_into_one_optimizer_step_stay_in_it() -> None:
    """A rollout of eight micro-batches lasts two optimizer steps of four."""
    lengths = [3, 9, 4, 8, 5, 7, 6, 2, 3, 9, 4, 8, 5, 7, 6, 2]
    trainer = cutting(accumulation=4, per_generation=8)
    found = members(super(RolloutTrainer, trainer)._into_micro_batches(scored(lengths)))
    assert len(found) == 8
    # One token each for the prompt.
    steps = optimizer_steps([n + 1 for n in lengths], steps=2, seed="3/micro-batches/4/0", by_length=True)
    assert [sorted(chain(*found[first : first + 4])) for first in (0, 4)] == [sorted(step) for step in steps]


def test_several_rollouts_of_one_optimizer_step_are_cut_by_themselves() -> None:
    trainer = cutting(accumulation=8, per_generation=2)
    batches = super(RolloutTrainer, trainer)._into_micro_batches(scored([3, 9, 4, 8]))
    assert len(batches) == 2
    assert sorted(chain(*members(batches))) == [0, 1, 2, 3]
    assert [batch[LOSS_WEIGHT] for batch in batches] == [1.0, 1.0]


LAYOUT = {"processes": 1, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}


def one_rank(fits_elsewhere: bool = True) -> Any:
    """Return an accelerator of one of two ranks, whose other one has micro-batches that fit, or not."""

    def gather(mine: torch.Tensor) -> torch.Tensor:
        return torch.cat([mine, torch.tensor([int(fits_elsewhere)])])

    return SimpleNamespace(process_index=0, device="cpu", gather=gather)


@pytest.mark.parametrize(
    ("change", "fits_elsewhere", "taken"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"processes": 2}, True, False),
        ({"per_device_train_batch_size": 2}, True, False),
        ({"gradient_accumulation_steps": 4}, True, False),
    ],
)
def test_micro_batches_of_another_layout_are_not_taken(
    change: dict[str, int], fits_elsewhere: bool, taken: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    batches = [{"advantages": torch.tensor([1.0, 2.0])}]
    save_rollout_in_use(tmp_path, one_rank(), LAYOUT, batches)
    found = load_rollout_in_use(tmp_path, one_rank(fits_elsewhere), LAYOUT | change)
    assert (found is not None) is taken
    assert ("has no micro-batches for this number of processes and batch sizes" in caplog.text) is not taken
    if found is not None:
        assert [batch["advantages"].tolist() for batch in found] == [[1.0, 2.0]]


def test_the_layout_is_of_all_that_cuts_a_rollout() -> None:
    made: Any = object.__new__(TeacherGRPOTrainer)
    made.accelerator = SimpleNamespace(num_processes=3)
    made.args = SimpleNamespace(
        per_device_train_batch_size=4, gradient_accumulation_steps=2, steps_per_generation=6, num_iterations=1
    )
    assert made._layout() == {
        "processes": 3,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "steps_per_generation": 6,
        "num_iterations": 1,
    }


def test_a_checkpoint_without_micro_batches_asks_anew(tmp_path: Path) -> None:
    save_rollout_in_use(tmp_path, one_rank(), LAYOUT, None)
    assert list(tmp_path.iterdir()) == []
    assert load_rollout_in_use(tmp_path, one_rank(), LAYOUT) is None
