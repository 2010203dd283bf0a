"""Lessons become rows to train on, pending rollouts are awaited or given up, and parameters come whole, in buckets."""

import asyncio
import logging
from concurrent.futures import CancelledError
from types import SimpleNamespace

import pytest
import torch

from tests.support.lessons import group, lesson
from trainers.concurrency.event_loop import EventLoopThread
from trainers.generation.api.usage import Account, Prices
from trainers.grpo.rollout_costs import CapTooLow
from trainers.grpo.rollouts import PendingRollout, RolloutRunner, training_rows
from trainers.grpo.trainer import TeacherGRPOTrainer
from trainers.grpo.trl.rollout_function import exclude_quietly, prompt_dataset, unrepeated
from trainers.models.checkpoint_format import checkpoint_metadata, checkpoint_tensors
from trainers.serving.weights.buckets import plan_buckets
from trainers.teaching.lesson import Question


def test_rows_carry_ids_as_sampled_and_unscorable_ones_are_masked():
    groups = [
        group(lesson([False], True, reward=1.5), lesson([False], None, member=1, reward=None)),
        group(lesson([True], True, reward=1.0), lesson([True], True, member=1), dropped="too_few_lessons"),
    ]
    rows = training_rows(groups, filler_id=9)
    assert [row.reward for row in rows] == [1.5, None, None, None]
    assert [row.trained for row in rows] == [True, False, False, False]
    assert rows[0].prompt_ids == [1, 2]
    assert rows[0].completion_ids == [3, 4, 5]
    assert rows[0].logprobs == pytest.approx([-0.1, -0.2, -0.3])


def test_a_lesson_that_was_never_sampled_becomes_one_masked_token():
    failed = lesson([False], None, reward=None)
    object.__setattr__(failed, "sample", None)
    [row] = training_rows([group(failed)], filler_id=9)
    assert (row.prompt_ids, row.completion_ids, row.trained) == ([9], [9], False)


def test_a_rollout_that_the_cap_has_no_money_for_is_not_begun():
    account = Account("student", Prices(1, 1), cap=10)
    account.note_rollout(11)
    trainer = SimpleNamespace(
        runner=SimpleNamespace(accounts={"student": account}), state=SimpleNamespace(global_step=0)
    )
    trainer._next_lessons = lambda rows: TeacherGRPOTrainer._start_rollout(trainer, 0)
    with pytest.raises(CapTooLow, match="student_spending_cap=10"):
        TeacherGRPOTrainer._run_rollout(trainer, [0])


def test_trl_does_not_ask_for_a_reward_where_a_lesson_is_excluded(caplog):
    exclude_quietly()
    trl = logging.getLogger("trl.trainer.grpo_trainer")
    trl.warning("All reward functions returned None for the following kwargs:\n{}")
    trl.warning("something else")
    assert caplog.messages == ["something else"]


def test_unrepeated():
    assert unrepeated([4, 4, 7, 7, 4, 4], 2) == [4, 7, 4]
    with pytest.raises(ValueError, match="num_generations=2"):
        unrepeated([4, 7, 7, 4], 2)
    with pytest.raises(ValueError, match="num_generations=4"):
        unrepeated([4, 4], 4)


def test_the_row_travels_inside_the_message():
    dataset = prompt_dataset([Question(0, "a {b}", "1"), Question(1, "c", "2")])
    assert dataset[1]["prompt"] == [{"role": "user", "content": "c", "row": 1}]


def test_parameters_come_whole_once_and_in_bounded_buckets():
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))
    metadata = checkpoint_metadata(model)
    walked = list(checkpoint_tensors(model, sharded=False, bucket_bytes=64))
    assert [meta.name for meta in metadata] == [name for name, _ in walked] == [n for n, _ in model.named_parameters()]
    assert [meta.shape for meta in metadata] == [tuple(tensor.shape) for _, tensor in walked]
    sizes = [sum(meta.size_bytes for meta in bucket) for bucket in plan_buckets(metadata, 64)]
    assert sizes == [64, 56]


def test_a_connection_that_does_not_close_keeps_nothing_else_open():
    closed = []

    class Pool:
        def __init__(self, name):
            self.name = name

        async def aclose(self):
            closed.append(self.name)
            if self.name == "teacher":
                raise OSError("a broken pipe")

    runner = RolloutRunner(Pool("protocol"), Pool("teacher"), [Pool("student")], len)
    with pytest.raises(OSError, match="a broken pipe"):
        runner.close()
    assert closed == ["teacher", "student", "protocol"]


def test_a_pending_rollout_is_awaited_or_given_up_and_nothing_outlives_its_loop():
    loop, ended = EventLoopThread(), []

    async def work(seconds):
        try:
            await asyncio.sleep(seconds)
            return "lessons"
        finally:
            ended.append(seconds)

    quick, cancelled, forgotten = (PendingRollout(loop.start(work(seconds))) for seconds in (0.01, 60, 61))
    assert not quick.done
    assert quick.result() == "lessons"
    assert quick.done
    cancelled.cancel()
    with pytest.raises(CancelledError):
        cancelled.result()
    loop.cancel_all()
    assert sorted(ended) == [0.01, 60, 61]
    assert forgotten.done
    loop.close()


def test_the_event_loop_thread_runs_and_raises():
    loop = EventLoopThread()

    async def double(x):
        await asyncio.sleep(0)
        return 2 * x

    async def fail():
        raise ValueError("no")

    assert loop.run(double(4)) == 8
    with pytest.raises(ValueError, match="no"):
        loop.run(fail())
    loop.close()
