"""The order of questions, and when their rollouts run."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.support.lessons import group, lesson
from trainers.configuration import ConfigurationError, compose
from trainers.configuration.devices.machine import Machine
from trainers.grpo.curriculum.question_order import QuestionOrder, QuestionSampler
from trainers.grpo.curriculum.question_records import Outcome
from trainers.grpo.overlap import LessonBatch, RolloutSchedule
from trainers.grpo.rollouts import training_rows


def test_every_epoch_asks_every_question_once_in_its_own_order():
    order = QuestionOrder(10, per_rollout=5, seed=1)
    first, second = ([index for rollout in order.epoch(epoch) for index in rollout] for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second != list(range(10))
    assert [order.rollout(number) for number in range(4)] == order.epoch(0) + order.epoch(1)
    assert order == QuestionOrder(10, 5, 1)
    assert order.rollout(3) == QuestionOrder(10, 5, 1).rollout(3) != QuestionOrder(10, 5, 2).rollout(3)


def test_questions_that_fill_no_rollout_wait_for_another_epoch():
    order = QuestionOrder(7, per_rollout=3, seed=0)
    assert [len(rollout) for rollout in order.epoch(0)] == [3, 3]
    assert len({index for number in range(20) for index in order.rollout(number)}) == 7
    assert QuestionOrder(7, 3, 0, shuffle=False).epoch(5) == [[0, 1, 2], [3, 4, 5]]


def test_too_few_questions_for_one_rollout_are_refused():
    remedy = r"questions, or lower train_batch_size \(completions per step\) or steps_per_generation$"
    with pytest.raises(ValueError, match=rf"3 training questions do not fill one rollout of 4.*{remedy}"):
        QuestionOrder(3, per_rollout=4, seed=0)
    assert [len(rollout) for rollout in QuestionOrder(4, per_rollout=4, seed=0).epoch(0)] == [4]


def test_the_sampler_repeats_questions_for_groups_and_rollouts_for_micro_batches():
    epoch = 0
    sampler = QuestionSampler(QuestionOrder(4, 2, 0), num_generations=2, batches=3, epoch=lambda: epoch)
    [a, b], [c, d] = sampler.order.epoch(0)
    assert list(sampler) == [a, a, b, b] * 3 + [c, c, d, d] * 3
    assert len(sampler) == 24
    assert len(QuestionSampler(QuestionOrder(7, 3, 0), 5, 4, lambda: 0)) == 2 * 3 * 5 * 4
    epoch = 1
    assert list(sampler)[:4:2] == sampler.order.rollout(2)


class Servers:
    """Notes what is started, waited for and cancelled; a rollout is its number."""

    def __init__(self, failing=()):
        self.events = []
        self.failing = failing

    def start(self, number):
        self.events.append(f"start {number}")
        return Running(self, number)


class Running:
    def __init__(self, servers, number):
        self.servers, self.number = servers, number

    def result(self):
        self.servers.events.append(f"end {self.number}")
        if self.number in self.servers.failing:
            raise RuntimeError(f"rollout {self.number} broke")
        return self.number

    def cancel(self):
        self.servers.events.append(f"cancel {self.number}")


def batch(number, _rollout=None):
    rows = training_rows([group(lesson([False], True, reward=1.5))], filler_id=9)
    return LessonBatch(number, rows, {"teaching/taught_accuracy": 0.5}, weight_version=3, groups=1, lost=[])


def steps(schedule, servers, numbers):
    """Go through steps as the trainer does: join, update the servers, take the lessons, look ahead, and optimise."""
    for number in numbers:
        schedule.join()
        servers.events.append("sync")
        assert schedule.take(number).number == number
        schedule.look_ahead(number + 1)
        servers.events.append("optimise")


def test_without_overlap_every_rollout_runs_between_two_updates():
    servers = Servers()
    steps(RolloutSchedule(servers.start, batch, ahead=False), servers, range(2))
    assert servers.events == ["sync", "start 0", "end 0", "optimise", "sync", "start 1", "end 1", "optimise"]


def test_with_overlap_the_next_rollout_runs_during_a_step_and_ends_before_the_weights_change():
    servers = Servers()
    schedule = RolloutSchedule(servers.start, batch, ahead=True)
    steps(schedule, servers, range(2))
    assert servers.events[:4] == ["sync", "start 0", "end 0", "start 1"]
    assert servers.events[4:] == ["optimise", "end 1", "sync", "start 2", "optimise"]
    schedule.cancel()
    schedule.cancel()
    assert servers.events[-1] == "cancel 2"
    assert servers.events.count("cancel 2") == 1


def test_a_failure_of_a_rollout_run_ahead_is_raised_where_all_ranks_hear_of_it():
    servers = Servers(failing=[1])
    schedule = RolloutSchedule(servers.start, batch, ahead=True)
    steps(schedule, servers, [0])
    schedule.join()
    with pytest.raises(RuntimeError, match="rollout 1 broke"):
        schedule.take(1)


def test_a_failed_rollout_is_raised_once_and_is_not_run_in_silence():
    servers = Servers(failing=[1])
    schedule = RolloutSchedule(servers.start, batch, ahead=True)
    steps(schedule, servers, [0])
    with pytest.raises(RuntimeError, match="rollout 1 broke"):
        schedule.take(1)
    assert servers.events.count("start 1") == 1
    servers.failing = []
    assert schedule.take(1).number == 1


@pytest.mark.parametrize(("ahead", "expected"), [(False, [2.0, 2.0, 2.0]), (True, [2.0, 3.0, 3.0])])
def test_the_trainer_waits_for_what_it_stands_still_for(ahead, expected, monkeypatch):
    """Time passes in rollouts, 2 s in one that is run at once and 3 s in one that is joined, and in steps, 7 s."""
    clock = [50.0]
    monkeypatch.setattr("trainers.grpo.overlap.time", SimpleNamespace(perf_counter=lambda: clock[0]))

    class Slow:
        def __init__(self, seconds):
            self.seconds = seconds

        def result(self):
            clock[0] += self.seconds

    started = []

    def start(number):
        started.append(number)
        return Slow(2.0 if number == 0 or not ahead else 3.0)

    schedule, waited = RolloutSchedule(start, batch, ahead=ahead), []
    for number in range(3):
        schedule.join()
        schedule.take(number)
        waited.append(schedule.seconds_waited())
        schedule.look_ahead(number + 1)
        clock[0] += 7.0
    assert waited == expected
    assert schedule.seconds_waited() == 0.0


def test_a_checkpoint_holds_the_lessons_run_ahead_and_a_resumed_run_takes_them():
    servers = Servers()
    schedule = RolloutSchedule(servers.start, batch, ahead=True)
    steps(schedule, servers, [0])
    state = schedule.state()
    assert servers.events[-1] == "end 1"
    assert schedule.take(1) == batch(1)
    resumed = RolloutSchedule(servers.start, batch, ahead=True)
    resumed.restore(state)
    assert resumed.take(1) == batch(1)
    assert servers.events.count("start 1") == 1
    strict = RolloutSchedule(servers.start, batch, ahead=False)
    strict.restore(state)
    strict.take(1)
    assert servers.events.count("start 1") == 2


def test_a_checkpoint_without_lessons_run_ahead_holds_none():
    assert RolloutSchedule(Servers().start, batch, ahead=True).state() is None


def test_lessons_run_ahead_that_are_of_no_use_are_run_anew_after_a_resume(caplog):
    servers = Servers()
    schedule = RolloutSchedule(servers.start, batch, ahead=True)
    spoiled = replace(batch(1), groups=8, lost=["teacher_connection"] * 7)
    schedule.restore(spoiled.to_json(), usable=lambda kept: not kept.lost)
    assert schedule.take(1) == batch(1)
    assert servers.events == ["start 1", "end 1"]
    assert caplog.messages == ["Rollout 1 had lost 7 of 8 groups before the checkpoint: it is run anew"]


def test_lessons_of_another_rollout_are_not_taken():
    servers = Servers()
    schedule = RolloutSchedule(servers.start, batch, ahead=True)
    schedule.restore(batch(4).to_json())
    assert schedule.take(5).number == 5
    assert servers.events == ["start 5", "end 5"]


def test_a_batch_survives_json_to_the_last_bit():
    kept = replace(batch(2), outcomes=[Outcome(3, 1, 2, 1, 4, 2)], weights={"reward": 3.0})
    assert LessonBatch.from_json(json.loads(json.dumps(kept.to_json()))) == kept


def test_lessons_of_older_weights_are_not_learned_from_without_correction():
    arguments = ["quickstart_rl", "rollout_overlap=1", "vllm_importance_sampling_correction=false"]
    with pytest.raises(ConfigurationError, match="rollout_overlap=1: lessons of older weights must be corrected"):
        compose(arguments, Machine())
    assert compose(arguments[:2], Machine()).config.rollouts.rollout_overlap == 1
