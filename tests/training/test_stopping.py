"""A training ends between two steps when it is asked to, at any of them, and goes on as if nothing had been."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from trainers.output.checkpoints import checkpoints, newest_whole
from trainers.output.loading import LOADING_FILE
from trainers.training.stopping import EndsEarly, StopEarly
from trainers.training.whole_checkpoints import WholeCheckpoints

STEPS = 5
"""Not a multiple of the three steps of an epoch."""


class Rows(Dataset):  # type: ignore[type-arg]
    """Six rows."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"x": torch.full((2,), float(index))}


class Model(torch.nn.Module):
    """A linear layer with a loss."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the loss."""
        return {"loss": (self.layer(x) - 1).square().mean()}


class Stopping(WholeCheckpoints, EndsEarly):
    """Both mechanisms on transformers' own trainer."""


class At(TrainerCallback):
    """Asks a run to stop at an event of a step, before `StopEarly` is asked."""

    def __init__(self, output: Path, event: str, step: int) -> None:
        self.steps: list[int] = []

        def ask(args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == step:
                (output / "stop").write_text("because")

        setattr(self, event, ask)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count."""
        self.steps.append(state.global_step)


def trained(
    output: Path,
    event: str = "on_log",
    step: int = -1,
    resume: Path | None = None,
    looks: Sequence[TrainerCallback] = (),
    **more: Any,
) -> tuple[Stopping, At]:
    """Train, being asked to stop at an event of a step."""
    arguments = TrainingArguments(
        str(output), use_cpu=True, report_to="none", max_steps=STEPS, per_device_train_batch_size=2, **more
    )
    asking, stop_early = At(output, event, step), StopEarly()
    output.mkdir(exist_ok=True)
    trainer = Stopping(
        Model(), arguments, train_dataset=Rows(), eval_dataset=Rows(), callbacks=[*looks, asking, stop_early]
    )
    stop_early.trainer = trainer
    trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    return trainer, asking


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in trainer.model.parameters()])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    """The weights after a training that nobody asked to stop."""
    trainer, _ = trained(tmp_path_factory.mktemp("whole"), save_strategy="no")
    assert (trainer.stopped_early, trainer.interrupted) == (False, False)
    return weights(trainer)


@pytest.mark.fault(
    "a request to make room within each step, while it is evaluated or saved (transformers' own trainer)",
    "stops with a whole checkpoint; resumed to the same weights, bit for bit, no step twice",
)
@pytest.mark.parametrize(
    ("event", "step"),
    [(event, step) for event in ("on_step_begin", "on_pre_optimizer_step", "on_step_end") for step in range(1, STEPS)]
    + [(event, step) for event in ("on_evaluate", "on_save") for step in (2, 4)],
)
def test_a_training_that_was_asked_to_stop_ends_as_the_undisturbed_one(
    event: str, step: int, whole: torch.Tensor, tmp_path: Path
) -> None:
    often = {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2}
    stopped, _ = trained(tmp_path, event, step, **often)
    ends = step + 1 if event in ("on_step_begin", "on_pre_optimizer_step") else step
    assert stopped.state.global_step == ends
    # What was asked for within the last step comes too late: it is finished.
    assert (stopped.stopped_early, stopped.interrupted) == (ends < STEPS, ends < STEPS)
    checkpoint, damaged = newest_whole(tmp_path)
    assert (checkpoint, damaged) == (tmp_path / f"checkpoint-{ends}", {})
    resumed, counted = trained(tmp_path, resume=checkpoint, **often)
    assert counted.steps == list(range(ends, STEPS))
    assert torch.equal(weights(resumed), whole)


@pytest.mark.fault("a request to make room before the first step", "heard then, and nothing is saved")
def test_a_request_before_the_first_step_is_heard_then(tmp_path: Path) -> None:
    (tmp_path / "stop").touch()
    trainer, asking = trained(tmp_path, save_strategy="no")
    assert (trainer.interrupted, asking.steps, checkpoints(tmp_path)) == (True, [], [])


def test_a_launcher_hears_when_the_first_step_begins_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, loading = [], tmp_path / "loading"
    monkeypatch.setenv(LOADING_FILE, str(loading))
    loading.touch()

    class Looks(TrainerCallback):
        """Looks at it before `StopEarly` does, and in the first step."""

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            seen.append(loading.exists())

        on_step_begin = on_train_begin

    trained(tmp_path, looks=[Looks()])
    assert seen == [True] + STEPS * [False]


def test_a_training_that_saves_nothing_by_itself_saves_when_asked_to_stop(tmp_path: Path) -> None:
    trained(tmp_path, "on_step_begin", 1, save_strategy="no")
    assert newest_whole(tmp_path) == (tmp_path / "checkpoint-2", {})


def test_no_row_of_metrics_is_lost_to_a_stop(tmp_path: Path) -> None:
    trainer, _ = trained(tmp_path, "on_step_begin", 1, save_strategy="no", logging_steps=4)
    assert [row["step"] for row in trainer.state.log_history if "loss" in row] == [2]


@pytest.mark.fault(
    "killed while the final model is saved", "resumed from the last step's checkpoint without a step more"
)
def test_the_last_checkpoint_of_a_training_is_its_end(whole: torch.Tensor, tmp_path: Path) -> None:
    """Killed while the final model was saved; transformers by itself would take a sixth step."""
    trained(tmp_path, save_strategy="steps", save_steps=STEPS)
    resumed, counted = trained(tmp_path, resume=tmp_path / f"checkpoint-{STEPS}")
    assert counted.steps == []
    assert torch.equal(weights(resumed), whole)


def test_a_reason_of_the_trainers_own_is_no_interruption(tmp_path: Path) -> None:
    def find(trainer: Stopping) -> Callable[..., None]:
        return lambda *_, **__: setattr(trainer, "stopped_early", True)

    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", max_steps=STEPS)
    stop_early = StopEarly()
    trainer = Stopping(Model(), arguments, train_dataset=Rows(), callbacks=[stop_early])
    stop_early.trainer = trainer
    reason = TrainerCallback()
    reason.on_substep_end = reason.on_step_begin = find(trainer)  # type: ignore[method-assign]
    trainer.callback_handler.callbacks.insert(0, reason)
    trainer.train()
    assert (trainer.state.global_step, trainer.stopped_early, trainer.interrupted) == (1, True, False)
    assert newest_whole(tmp_path)[0] == tmp_path / "checkpoint-1"
