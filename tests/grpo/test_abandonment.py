"""A rollout that there is no time for is given up, and what was learned before it is saved."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults.test_discarded_rollouts import trainer_with
from tests.support.lessons import group, lesson
from trainers.concurrency.event_loop import EventLoopThread
from trainers.distributed import reported_as
from trainers.grpo import abandonment, rollout_trainer
from trainers.grpo.abandonment import Abandonable, RolloutAbandoned, asked_to_end
from trainers.grpo.overlap import LessonBatch, RolloutSchedule
from trainers.grpo.rollout_trainer import EvaluationFailed, RolloutFailed, RolloutGivenUp, RolloutTrainer
from trainers.grpo.rollouts import PendingRollout, Rollout
from trainers.serving.weights.weight_sync import WeightSyncError
from trainers.teaching.lesson import BlindCheck
from trainers.training import requests_heard


@pytest.fixture
def loop() -> Iterator[EventLoopThread]:
    """Where rollouts run."""
    thread = EventLoopThread()
    yield thread
    thread.close()


WHOLE = Rollout([group(lesson([False], True))], 1.0, {})
PART = replace(
    WHOLE, groups=[group(lesson([False], True), replace(lesson([False], True), failure="taught_connection"))]
)


def nobody_stops() -> bool:
    return False


def pending(loop: EventLoopThread, seconds: float, rollout: Rollout = WHOLE) -> PendingRollout:
    async def work() -> Any:
        await asyncio.sleep(seconds)
        return rollout

    return PendingRollout(loop.start(work()))


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the request long."""
    monkeypatch.setattr(abandonment, "LOOK_EVERY_S", 0.02)


def test_a_rollout_is_given_up_at_once_with_its_requests(loop: EventLoopThread, tmp_path: Path) -> None:
    rollout = pending(loop, 600)
    threading.Timer(0.2, (tmp_path / "stop_rollout").touch).start()
    begun = time.monotonic()
    with pytest.raises(RolloutAbandoned, match="stopping with the last whole step"):
        Abandonable(rollout, str(tmp_path), nobody_stops).result()
    assert time.monotonic() - begun < 10
    assert rollout.done


def test_a_rollout_that_nobody_asks_to_give_up_is_waited_for(loop: EventLoopThread, tmp_path: Path) -> None:
    assert Abandonable(pending(loop, 0.2), str(tmp_path), nobody_stops).result() == WHOLE
    # What has come by then is used.
    (tmp_path / "stop_rollout").touch()
    done = pending(loop, 0.0)
    done.ended(5)
    assert Abandonable(done, str(tmp_path), nobody_stops).result() == WHOLE


@pytest.mark.fault(
    "preemption: servers hear TERM before the trainer does, and a rollout loses a few lessons", "given up, asked again"
)
@pytest.mark.parametrize("heard", ["stop", "stop_rollout", "trainer"])
def test_a_rollout_that_is_not_whole_when_the_run_is_to_stop_is_given_up(
    heard: str, loop: EventLoopThread, tmp_path: Path
) -> None:
    if heard != "trainer":
        (tmp_path / heard).touch()
    rollout = Abandonable(pending(loop, 0.0, PART), str(tmp_path), lambda: heard == "trainer")
    # What `stop_rollout` asks of one that runs is another test's.
    rollout._pending.ended(5)
    with pytest.raises(RolloutAbandoned, match=r"1 failures in it.*asks its questions again"):
        rollout.result()


def test_failures_while_nobody_stops_are_trained_around(loop: EventLoopThread, tmp_path: Path) -> None:
    assert Abandonable(pending(loop, 0.0, PART), str(tmp_path), nobody_stops).result() == PART


def test_a_check_for_leaks_that_failed_is_a_failure_too() -> None:
    unchecked = replace(lesson([False], True), blind=BlindCheck(0, 2, 0, 2, None, "blind_connection"))
    checked = replace(lesson([False], True), blind=BlindCheck(0, 2, 0, 2, leaked=False))
    assert Rollout([group(unchecked, checked)], 1.0, {}).failures == 1


def test_a_group_that_is_dropped_and_a_baseline_without_a_verdict_are_failures_too() -> None:
    lost, half = group(lesson([None], True), dropped="baseline_worker_died"), group(lesson([True, None], True))
    assert Rollout([WHOLE.groups[0], lost], 1.0, {}).failures == 2
    assert Rollout([half], 1.0, {}).failures == 1
    # In its place another question was asked than by a run that nobody disturbed.
    assert Rollout(WHOLE.groups, 1.0, {}, discarded=(lost,)).failures == 2


@pytest.mark.parametrize("heard", [True, False])
def test_a_trainer_gives_up_what_failed_after_a_signal_that_its_launcher_has_not_told_of(
    heard: bool, loop: EventLoopThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_with(LessonBatch(3, [], {}, None, groups=1, lost=[]))
    trainer.args.output_dir, trainer.interrupted = str(tmp_path), False
    plan = SimpleNamespace(asked=[0], spares=[])
    monkeypatch.setattr(rollout_trainer, "plan_rollout", lambda *_: plan)
    trainer.curriculum, trainer.num_baselines = SimpleNamespace(replaces=False), 1
    trainer.records.before = lambda _: None
    trainer.runner.start = lambda *_, **__: pending(loop, 0.0, PART)
    rollout = trainer._start_rollout(3)
    monkeypatch.setattr(requests_heard, "_heard_at", time.monotonic() if heard else None)
    with pytest.raises(RolloutAbandoned) if heard else nullcontext():
        assert rollout.result() == PART


def test_one_that_ran_ahead_is_not_in_the_checkpoint(
    loop: EventLoopThread, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    schedule = RolloutSchedule(
        lambda _: Abandonable(pending(loop, 600), str(tmp_path), nobody_stops),
        lambda number, _: LessonBatch(number, [], {}, None, groups=1, lost=[]),
        ahead=True,
    )
    schedule.look_ahead(4)
    (tmp_path / "stop_rollout").touch()
    assert schedule.state() is None
    assert "Traceback" not in caplog.text
    with pytest.raises(RolloutAbandoned):
        schedule.take(4)


@pytest.mark.parametrize(("step", "kept"), [(0, []), (3, [3])])
def test_the_last_step_is_saved_also_where_nothing_else_is(
    step: int, kept: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_with(LessonBatch(3, [], {}, None, groups=1, lost=[]))
    trainer.state.global_step = step
    trainer.args.save_strategy = "no"
    trainer.accelerator = SimpleNamespace(is_main_process=True)
    trainer.model = None
    saved: list[int] = []
    trainer._save_checkpoint = lambda *_: saved.append(trainer.state.global_step)

    def gives_up(self: Any, **_: Any) -> None:
        raise RolloutGivenUp("step 3: gave up")

    monkeypatch.setattr(RolloutTrainer, "train", gives_up)
    assert trainer.train() is None
    assert (trainer.stopped_early, trainer.interrupted, saved) == (True, True, kept)


@pytest.mark.fault("preemption: servers end under a weight update or an evaluation", "the last step is saved, at once")
@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("failure", [WeightSyncError("broken"), EvaluationFailed("gave up"), RolloutFailed("lost")])
def test_what_servers_fail_at_while_the_run_is_to_end_is_no_failure(
    failure: Exception, asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_with(LessonBatch(3, [], {}, None, groups=1, lost=[]))
    trainer.args = SimpleNamespace(output_dir=str(tmp_path), save_strategy="no")
    trainer.accelerator = SimpleNamespace(is_main_process=True, num_processes=1)
    trainer.interrupted, trainer.model = False, None
    saved: list[int] = []
    trainer._save_checkpoint = lambda *_: saved.append(trainer.state.global_step)

    def fails(self: Any, **_: Any) -> None:
        raise failure

    monkeypatch.setattr(RolloutTrainer, "train", fails)
    monkeypatch.setattr(requests_heard, "_heard_at", time.monotonic() if asked else None)
    with nullcontext() if asked else pytest.raises(type(failure)):
        trainer.train()
    assert (trainer.stopped_early, trainer.interrupted, saved) == (asked, asked, [3] if asked else [])


def test_a_signal_that_nothing_follows_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests_heard, "_heard_at", time.monotonic() - requests_heard.RECENT_S + 5)
    assert asked_to_end(str(tmp_path))
    monkeypatch.setattr(requests_heard, "_heard_at", time.monotonic() - requests_heard.RECENT_S)
    assert not asked_to_end(str(tmp_path))
    (tmp_path / "stop").touch()
    assert asked_to_end(str(tmp_path))


@pytest.mark.parametrize("heard", [True, False])
def test_an_evaluation_that_dying_servers_cut_is_not_recorded(
    heard: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_with(LessonBatch(3, [], {}, None, groups=1, lost=[]))
    trainer.args.output_dir = str(tmp_path)
    trainer.evaluation_questions, trainer.num_generations_eval = [], 1
    trainer.runner.evaluate = lambda *_, **__: PART
    monkeypatch.setattr(requests_heard, "_heard_at", time.monotonic() if heard else None)
    with pytest.raises(EvaluationFailed, match="1 failures in it") if heard else nullcontext():
        trainer._run_evaluation("eval")
    assert (tmp_path / "evaluations").exists() == (not heard)


def test_one_that_was_given_up_is_told_as_that() -> None:
    with pytest.raises(RolloutGivenUp), reported_as(RolloutFailed, "rollout"):
        raise RolloutGivenUp("gave up")
