"""Nothing is learned from a rollout that lost too much, and no weight moves in a step without a lesson."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainers.distributed import reported_as
from trainers.grpo.overlap import LessonBatch
from trainers.grpo.rollout_trainer import RolloutDiscarded, RolloutFailed, RolloutTrainer
from trainers.grpo.trainer import TeacherGRPOTrainer
from trainers.training.empty_steps import EmptySteps


def trainer_with(batch: LessonBatch) -> Any:
    """Return as much of a trainer as takes a rollout."""
    made: Any = object.__new__(TeacherGRPOTrainer)
    made.recorded, made.started = [], []
    made.runner = SimpleNamespace(accounts={})
    made.state = SimpleNamespace(global_step=3, max_steps=9)
    made.args = SimpleNamespace(output_dir="out", save_strategy="steps")
    made.steps_per_rollout = made.num_generations = 1
    made.max_lost_groups = 0.25
    made.stopped_early = made.is_deepspeed_enabled = False
    made.schedule = SimpleNamespace(take=lambda number: batch, look_ahead=made.started.append)
    made.order = SimpleNamespace(rollout=lambda number: [0])
    made.questions = [SimpleNamespace(row=0)]
    made.remembered = []
    made.records = SimpleNamespace(add=lambda *outcomes: made.remembered.append(outcomes), save=lambda _: None)
    made._record = made.recorded.append
    return made


DISCARDED = ("more groups lost than `max_lost_groups`", "nothing is learned; the last whole step is kept")


@pytest.mark.fault(*DISCARDED)
@pytest.mark.parametrize(("lost", "discarded"), [(1, False), (2, True), (4, True)])
def test_a_rollout_that_lost_too_much_is_discarded(lost: int, discarded: bool) -> None:
    batch = LessonBatch(3, [], {}, None, groups=4, lost=["probe_connection"] * lost)
    trainer = trainer_with(batch)
    if not discarded:
        assert trainer._run_rollout([0]) == []
        assert (trainer.recorded, trainer.started) == ([batch], [4])
        assert trainer.remembered == [(3, batch.outcomes)]
        return
    with pytest.raises(RolloutDiscarded, match=rf"step 3: lost {lost} of 4 groups .* nothing is learned"):
        trainer._run_rollout([0])
    # Neither a row of metrics nor another rollout, and nothing is remembered of its questions.
    assert (trainer.recorded, trainer.started, trainer.remembered) == ([], [], [])


@pytest.mark.fault(*DISCARDED)
@pytest.mark.parametrize(("step", "kept"), [(0, []), (3, [3])])
def test_a_discarded_rollout_ends_the_run_with_its_last_whole_step(
    step: int, kept: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_with(LessonBatch(3, [], {}, None, groups=1, lost=[]))
    trainer.state.global_step = step
    trainer.accelerator = SimpleNamespace(is_main_process=True)
    trainer.model = None
    saved: list[int] = []
    trainer._save_checkpoint = lambda *_: saved.append(trainer.state.global_step)

    def loses(self: Any, **_: Any) -> None:
        raise RolloutDiscarded("step 3: lost")

    monkeypatch.setattr(RolloutTrainer, "train", loses)
    assert trainer.train() is None
    assert trainer.stopped_early
    assert saved == kept


def test_a_discarded_rollout_stays_one_when_its_failure_is_reported() -> None:
    with pytest.raises(RolloutDiscarded), reported_as(RolloutFailed, "rollout"):
        raise RolloutDiscarded("lost")


def moved(empties: list[list[bool]], protected: bool = True) -> list[bool]:
    """Return for each optimizer step, given which of its micro-batches are empty, whether it moved the weights."""
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 / (1 + step))
    steps, found = EmptySteps(), []
    for step in empties:
        before = weight.detach().clone()
        for empty in step:
            if protected:
                steps.note(optimizer, empty=empty)
            (weight * (0.0 if empty else 1.0)).sum().backward()
        optimizer.step()
        steps.on_optimizer_step(None, None, None, optimizer=optimizer)  # type: ignore[arg-type]
        schedule.step()
        optimizer.zero_grad()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(schedule.get_last_lr()[0])
        found.append(not torch.equal(before, weight))
    return found


@pytest.mark.fault("steps without any lesson", "no weight moves; the next rate is the schedule's")
def test_a_step_without_lessons_moves_no_weight() -> None:
    steps = [[False, False], [True, True], [True, False], [False, True], [True, True], [True, True], [False, False]]
    assert moved(steps) == [True, False, True, True, False, False, True]
    # What the mechanism is for: momentum.
    assert moved(steps, protected=False) == [True] * 7
