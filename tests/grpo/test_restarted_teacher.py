"""A teacher's server that is started anew gets the weights before anything of it is trained on, on every rank."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainers.distributed import reported_as
from trainers.generation.vllm.endpoint import ServersRestarted
from trainers.grpo.overlap import LessonBatch, RolloutSchedule
from trainers.grpo.rollout_trainer import EvaluationFailed, RolloutFailed
from trainers.grpo.trainer import TeacherGRPOTrainer
from trainers.models import served_teacher
from trainers.models.served_teacher import ServedTeacher
from trainers.models.weight_verification import WeightsDifferError
from trainers.serving.weights.weight_sync import WeightSyncError

ANEW = pytest.mark.fault(
    "a teacher's server started anew in a rollout, one ahead, an evaluation, an update or its verification",
    "weights are sent on every rank, then the same is asked again (the parts around it stand in)",
)


class Pending:
    """A rollout that ends in a given way."""

    def __init__(self, ending: Any) -> None:
        self.ending = ending

    def result(self) -> Any:
        if isinstance(self.ending, Exception):
            raise self.ending
        return self.ending

    def cancel(self) -> None:
        raise AssertionError("nothing is given up")


def trainer_with(endings: list[Any], ahead: bool = False) -> Any:
    """Return as much of a trainer as makes rollouts, of which one after the other ends as given."""
    made: Any = object.__new__(TeacherGRPOTrainer)
    made.done = []

    def start(number: int) -> Pending:
        made.done.append(f"rollout {number}")
        return Pending(endings.pop(0))

    made.accelerator = SimpleNamespace(is_main_process=True)
    made.runner = SimpleNamespace(accounts={})
    made.state = SimpleNamespace(global_step=3, max_steps=9)
    made.args = SimpleNamespace(output_dir="out")
    made.steps_per_rollout = made.num_generations = 1
    made.max_lost_groups = 0.25
    made.stopped_early = False
    made.schedule = RolloutSchedule(start, lambda number, rollout: rollout, ahead=ahead)  # type: ignore[arg-type]
    made.order = SimpleNamespace(rollout=lambda number: [0])
    made.questions = [SimpleNamespace(row=0)]
    made.records = SimpleNamespace(add=lambda *_: None)
    made._record = lambda _: None
    made.vllm_generation = SimpleNamespace(sync_weights=lambda: made.done.append("weights"))
    return made


def batch(number: int) -> LessonBatch:
    return LessonBatch(number, ["lesson"], {}, None, groups=1, lost=[])  # type: ignore[list-item]


@ANEW
def test_the_same_rollout_is_made_once_the_servers_have_the_weights() -> None:
    trainer = trainer_with([ServersRestarted("u was started anew")] * 2 + [batch(3)])
    assert trainer.global_rollout([[0]]) == ["lesson"]
    assert trainer.done == ["rollout 3", "weights", "rollout 3", "weights", "rollout 3"]


@ANEW
def test_a_rollout_that_ran_ahead_is_given_up_and_made_after_the_weights() -> None:
    trainer = trainer_with([batch(3), ServersRestarted("u was started anew"), batch(4), batch(5)], ahead=True)
    assert trainer.global_rollout([[0]]) == ["lesson"]
    assert trainer.done == ["rollout 3", "rollout 4"]
    # As TRL does before each rollout: what runs is waited for, then the weights are sent.
    trainer._before_weights()
    trainer.state.global_step = 4
    assert trainer.global_rollout([[0]]) == ["lesson"]
    assert trainer.done == ["rollout 3", "rollout 4", "rollout 4", "rollout 5"]


@ANEW
def test_an_evaluation_is_made_anew_too() -> None:
    trainer = trainer_with([])
    results = [ServersRestarted("u was started anew"), {"eval_x": 1.0}]

    def once() -> Any:
        with reported_as(EvaluationFailed, "evaluation", ServersRestarted):
            result = results.pop(0)
            if isinstance(result, Exception):
                raise result
            return result

    assert trainer._with_weights(once) == {"eval_x": 1.0}
    assert trainer.done == ["weights"]


def test_other_failures_stay_what_they_are() -> None:
    trainer = trainer_with([RuntimeError("no memory")])
    with pytest.raises(RolloutFailed, match="no memory"):
        trainer.global_rollout([[0]])
    assert trainer.done == ["rollout 3"]


class Sync:
    """Weight updates that fail in given ways, and servers that are restarted or not."""

    def __init__(self, failures: list[Exception | None], restarts: list[bool]) -> None:
        self.failures = failures
        self.restarts = restarts
        self.connected = True
        self.done: list[str] = []
        self.instances = {"u": "start"}

    def connect(self) -> None:
        self.done.append("met")
        self.connected = True

    def update(self, tensors: Any, metadata: Any, version: int) -> None:
        self.done.append(f"sent {version}")
        failure = self.failures.pop(0)
        if failure is not None:
            self.connected = False
            raise failure

    def restarted(self) -> bool:
        return self.restarts.pop(0)


def served(sync: Sync, monkeypatch: pytest.MonkeyPatch, verifier: Any = None) -> tuple[ServedTeacher, list[Any]]:
    monkeypatch.setattr(served_teacher, "checkpoint_metadata", lambda _: [])
    tensors = SimpleNamespace(skip_rest=lambda: sync.done.append("rest"))
    monkeypatch.setattr(served_teacher, "checkpoint_tensors", lambda *_, **__: tensors)
    accelerator = SimpleNamespace(state=SimpleNamespace(deepspeed_plugin=None), num_processes=1)
    told: list[Any] = []
    made = ServedTeacher(
        torch.nn.Linear(1, 1),
        accelerator,  # type: ignore[arg-type]
        sync,  # type: ignore[arg-type]
        told.append,
        on_servers=told.append,
        verifier=verifier,
    )
    return made, told


@ANEW
def test_servers_started_anew_in_the_middle_of_an_update_are_met_again_and_sent_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sync = Sync([WeightSyncError("broken"), WeightSyncError("again"), None], [True, True])
    teacher, told = served(sync, monkeypatch)
    teacher.sync_weights()
    # Every rank takes part in the gathering of weights as often as rank 0 sends them.
    assert sync.done == ["sent 1", "rest", "met", "sent 1", "rest", "met", "sent 1", "rest"]
    assert told == [{"u": "start"}, 1]


def test_an_update_takes_the_seconds_between_its_beginning_and_its_confirmation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A rollout that is waited for before it is none of them: 3 s of it, then 2 s for each of two tries."""
    clock = [70.0]
    monkeypatch.setattr(served_teacher, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    sync = Sync([WeightSyncError("broken"), None], [True])
    teacher, _ = served(sync, monkeypatch)
    teacher.before_update = lambda: clock.append(clock.pop() + 3.0)
    update = sync.update
    sync.update = lambda *arguments: [clock.append(clock.pop() + 2.0), update(*arguments)]  # type: ignore[method-assign]
    teacher.sync_weights()
    assert teacher.seconds == 4.0


def test_an_update_that_fails_otherwise_fails_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sync = Sync([WeightSyncError("broken")], [False])
    teacher, told = served(sync, monkeypatch)
    with pytest.raises(WeightSyncError, match="broken"):
        teacher.sync_weights()
    assert (told, teacher.version) == ([], 0)


@ANEW
@pytest.mark.parametrize("restarted", [True, False])
def test_a_server_started_anew_before_it_was_verified_is_sent_the_weights_again(
    restarted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[Exception | None] = [WeightsDifferError("far away"), None]

    def verify(*_: Any) -> float:
        failure = failures.pop(0)
        if failure is not None:
            raise failure
        return 0.0

    sync = Sync([None, None], [restarted])
    teacher, _ = served(sync, monkeypatch, SimpleNamespace(after_update=verify))
    if restarted:
        teacher.sync_weights()
        assert sync.done.count("sent 1") == 2
    else:
        with pytest.raises(WeightsDifferError):
            teacher.sync_weights()
